"""An OpenAPI document: its files, the versions that are understood, and `$ref`, which never leaves its folder."""

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

from referencing import Registry, Resource
from referencing.exceptions import Unresolvable

from gateway.errors import ConfigError
from gateway.tools.openapi.reading import read_file

__all__ = ["Document", "Found", "Place", "mapping", "open_document", "text_of"]

MAX_FILES = 64
MAX_HOPS = 20
"""References that lead to references, one after the other."""
VERSIONS = ("3.0.", "3.1.")
DIALECTS = (
    "https://json-schema.org/draft/2020-12/schema",
    "https://spec.openapis.org/oas/3.1/dialect/base",
)


@dataclass(slots=True, frozen=True)
class Place:
    """A place of the document, for messages and as the base of references."""

    file: str
    """Path from the document's folder, with /."""
    pointer: str = ""
    """JSON Pointer, RFC 6901."""

    def __truediv__(self, key: str | int) -> "Place":
        part = str(key).replace("~", "~0").replace("/", "~1")
        return Place(self.file, f"{self.pointer}/{part}")

    def __str__(self) -> str:
        return f"{self.file}#{self.pointer}"


class Found(NamedTuple):
    """What stands somewhere, and where."""

    node: object
    place: Place


class Document:
    """A read document. Files that it refers to are read when somebody asks."""

    def __init__(self, folder: Path, file: str) -> None:
        """Raises `ConfigError`, a sentence with the place."""
        self._folder = folder.resolve()
        self._registry: Registry[object] = Registry()
        self._files: set[str] = set()
        self.place = Place(file)
        self.root = mapping(self._load(file), self.place)
        self.is_30 = _is_30(self.root, self.place)
        """Whether schemas are in the dialect of OpenAPI 3.0."""

    def follow(self, node: object, place: Place) -> Found:
        """Return what a Reference Object stands for, or the node itself when it is none. Raises `ConfigError`."""
        for _ in range(MAX_HOPS):
            if not isinstance(node, Mapping) or "$ref" not in node:
                return Found(node, place)
            node, place = self.target(node["$ref"], place)
        raise ConfigError(f"{place}: more than {MAX_HOPS} references lead to one another here")

    def target(self, ref: object, place: Place) -> Found:
        """Return what a `$ref` at this place refers to. Raises `ConfigError`."""
        if not isinstance(ref, str):
            raise ConfigError(f"{place}: $ref must be text")
        file, fragment = self._split(ref, place)
        self._load(file, place)
        if fragment and not fragment.startswith("/"):
            raise ConfigError(f"{place}: the reference {ref[:200]!r} is no JSON Pointer; anchors are not supported")
        try:
            found = self._registry.resolver(_uri(file)).lookup(f"#{quote(fragment, safe='/~')}")
        except (Unresolvable, LookupError, TypeError, ValueError):  # the last three: a pointer into text or a list
            raise ConfigError(f"{place}: the reference {ref[:200]!r} leads nowhere") from None
        return Found(found.contents, Place(file, fragment))

    def _split(self, ref: str, place: Place) -> tuple[str, str]:
        try:
            parts = urlsplit(ref)
        except ValueError:
            raise ConfigError(f"{place}: the reference {ref[:200]!r} is malformed") from None
        if parts.scheme or parts.netloc:
            raise ConfigError(f"{place}: the reference {ref[:200]!r} leads to another host")
        fragment = unquote(parts.fragment)
        if not parts.path:
            return place.file, fragment
        file = posixpath.normpath(posixpath.join(posixpath.dirname(place.file), unquote(parts.path)))
        if file.startswith(("/", "..")) or "\\" in file or "\0" in file or parts.query:
            raise ConfigError(f"{place}: the reference {ref[:200]!r} leads out of the document's folder")
        return file, fragment

    def _load(self, file: str, place: Place | None = None) -> object:
        uri = _uri(file)
        if file in self._files:
            return self._registry.contents(uri)
        where = f"{place}: " if place else ""
        if len(self._files) == MAX_FILES:
            raise ConfigError(f"{where}the document has more than {MAX_FILES} files")
        path = (self._folder / file).resolve()
        if not path.is_relative_to(self._folder):  # a symbolic link
            raise ConfigError(f"{where}{file} leads out of the document's folder")
        try:
            contents = read_file(path, file)
        except ConfigError as error:
            raise ConfigError(f"{where}{error}") from None
        self._files.add(file)
        self._registry = self._registry.with_resource(uri, Resource.opaque(contents))
        return contents


def open_document(path: Path) -> Document:
    """Read the document at `path`; its folder is all that it may refer to. Raises `ConfigError`."""
    return Document(path.parent, path.name)


def mapping(node: object, place: Place) -> Mapping[str, object]:
    """Return the node as keys with values. Raises `ConfigError`."""
    if not isinstance(node, Mapping):
        raise ConfigError(f"{place}: must be an object (keys with values)")
    return node


def text_of(node: Mapping[str, object], key: str) -> str:
    """Return a text, "" when it is missing or no text."""
    value = node.get(key)
    return value.strip() if isinstance(value, str) else ""


def _is_30(root: Mapping[str, object], place: Place) -> bool:
    if "swagger" in root:
        raise ConfigError(f"{place}: is Swagger {root['swagger']}; convert it to OpenAPI 3.0 or 3.1 first")
    version = root.get("openapi")
    if not isinstance(version, str) or not version.startswith(VERSIONS):
        raise ConfigError(f"{place}: is no OpenAPI 3.0 or 3.1 document (openapi: {str(version)[:40]})")
    dialect = root.get("jsonSchemaDialect", DIALECTS[0])
    if not isinstance(dialect, str) or not dialect.startswith(DIALECTS):
        raise ConfigError(f"{place / 'jsonSchemaDialect'}: this dialect of JSON Schema is not supported")
    return version.startswith("3.0.")


def _uri(file: str) -> str:
    return f"file:///{quote(file)}"
