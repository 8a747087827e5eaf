"""Schemas of an OpenAPI document, written as the JSON Schema (draft 2020-12) of a function's arguments.

What a model needs not see goes: examples, xml, extensions, and properties that only answers have (`readOnly`).
References are written out where they stand, because models read that best; a schema that contains itself becomes one of
`$defs`. The dialect of OpenAPI 3.0 (`nullable`, boolean `exclusiveMinimum`, no siblings of `$ref`) is translated.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from gateway.errors import ConfigError
from gateway.tools.openapi.document import Document, Place, mapping

__all__ = ["Schema", "SchemaWriter", "Unusable", "shorten"]

Schema = dict[str, object]

MAX_NODES = 3000
"""Schemas inside the schema of one operation."""
MAX_DEPTH = 40
MAX_DESCRIPTION_CHARS = 500
"""Of one argument; the session pays for each character in each turn."""

AS_IT_IS = frozenset(
    "type enum const default format multipleOf maximum minimum exclusiveMaximum exclusiveMinimum maxLength minLength "
    "pattern maxItems minItems uniqueItems maxContains minContains maxProperties minProperties dependentRequired "
    "contentEncoding contentMediaType".split()
)
ANNOTATIONS = frozenset(("title", "description", "default"))
INSIDE = frozenset("items additionalProperties contains propertyNames unevaluatedItems unevaluatedProperties".split())
"""Keywords with a schema for what is inside the value."""
IN_PLACE = frozenset("not if then else".split())
"""Keywords with a schema for the value itself."""
LISTS = {"prefixItems": True, "allOf": False, "anyOf": False, "oneOf": False}
"""Keywords with a list of schemas; whether they are for what is inside the value."""
MAPS = {"properties": True, "patternProperties": True, "dependentSchemas": False}
UNSUPPORTED = ("$id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$schema")
MERGEABLE = frozenset(("type", "properties", "required", "title", "description", "discriminator"))

_Key = tuple[Place, frozenset[str]]


class Unusable(ConfigError):
    """The document is right, but this operation cannot be a function of a telephone call."""


class SchemaWriter:
    """Writes the schemas of one operation. `defs` belongs beside what it returned: `{"$defs": writer.defs}`."""

    def __init__(self, document: Document) -> None:
        self.defs: dict[str, object] = {}
        self._document = document
        self._names: dict[_Key, str] = {}
        """Schemas that contain themselves."""
        self._running: dict[_Key, int] = {}
        """Schemas that are being written, and at which level of the value."""
        self._nodes = 0
        self._depth = 0
        self._level = 0

    def write(self, node: object, place: Place, hidden: frozenset[str] = frozenset()) -> Schema | bool:
        """Return the schema. `hidden` are properties that only answers have. Raises `ConfigError`."""
        self._nodes += 1
        if self._nodes > MAX_NODES or self._depth == MAX_DEPTH:
            raise Unusable(f"{place}: the schema is too large; over {MAX_NODES} parts or {MAX_DEPTH} levels")
        if isinstance(node, bool):
            return node
        schema = mapping(node, place)
        self._depth += 1
        try:
            if "$ref" in schema:
                return self._reference(schema, place, hidden)
            return self._written(schema, place, hidden | self._read_only(schema, place))
        finally:
            self._depth -= 1

    def _reference(self, schema: Mapping[str, object], place: Place, hidden: frozenset[str]) -> Schema | bool:
        siblings = {} if self._document.is_30 else {key: value for key, value in schema.items() if key != "$ref"}
        hidden |= self._read_only(schema, place)
        target = self._target(schema["$ref"], place, hidden)
        beside = self._written(siblings, place, hidden) if siblings else {}
        if isinstance(target, bool) or not beside:
            return target
        if beside.keys() <= ANNOTATIONS or (
            beside.keys() <= AS_IT_IS | ANNOTATIONS and not beside.keys() & target.keys()
        ):
            return {**target, **beside}
        return _together([target, beside], {})

    def _target(self, ref: object, place: Place, hidden: frozenset[str]) -> Schema | bool:
        found = self._document.target(ref, place)
        key = (found.place, hidden)
        if self._running.get(key) == self._level:
            raise Unusable(f"{found.place}: the schema is defined by itself")
        if key in self._running:
            self._names.setdefault(key, self._unique_name(found.place))
        if key in self._names:
            return {"$ref": f"#/$defs/{self._names[key]}"}
        self._running[key] = self._level
        try:
            schema = self.write(found.node, found.place, hidden)
        finally:
            del self._running[key]
        if key not in self._names:
            return schema
        self.defs[self._names[key]] = schema
        return {"$ref": f"#/$defs/{self._names[key]}"}

    def _unique_name(self, place: Place) -> str:
        stem = re.sub(r"[^A-Za-z0-9_]+", "_", place.pointer.rpartition("/")[2] or place.file)[:40] or "schema"
        name, count = stem, 1
        while name in self._names.values():
            count += 1
            name = f"{stem}_{count}"
        return name

    def _written(self, schema: Mapping[str, object], place: Place, hidden: frozenset[str]) -> Schema:
        unsupported = [key for key in UNSUPPORTED if key in schema]
        if unsupported:
            raise Unusable(f"{place / unsupported[0]}: this keyword is not supported")
        written: Schema = {}
        for key, value in schema.items():
            if key in AS_IT_IS:
                written[key] = value
            elif key in ("title", "description") and isinstance(value, str) and value.strip():
                written[key] = shorten(value, MAX_DESCRIPTION_CHARS)
            elif key == "required":
                names = [name for name in _list(value, place / key) if not (isinstance(name, str) and name in hidden)]
                written |= {key: names} if names else {}
            elif key in INSIDE or key in IN_PLACE:
                with self._inside(key in INSIDE):
                    written[key] = self.write(value, place / key)
            elif key in LISTS:
                written[key] = self._list(key, value, place / key, hidden)
            elif key in MAPS:
                written[key] = self._map(key, value, place / key, hidden)
        if "discriminator" in schema and (branches := written.get("oneOf", written.get("anyOf"))):
            written["discriminator"] = self._discriminator(schema, _list(branches, place), place)
        if self._document.is_30:
            _from_30(written)
        members = written.pop("allOf", None)
        if isinstance(members, list):
            written = _together(members, written)
        return _nullable(written) if self._document.is_30 and schema.get("nullable") is True else written

    def _list(self, key: str, value: object, place: Place, hidden: frozenset[str]) -> list[object]:
        kept = frozenset() if LISTS[key] else hidden
        with self._inside(LISTS[key]):
            return [self.write(item, place / index, kept) for index, item in enumerate(_list(value, place))]

    def _map(self, key: str, value: object, place: Place, hidden: frozenset[str]) -> Schema:
        entries = mapping(value, place)
        left_out = hidden if key == "properties" else frozenset()
        with self._inside(MAPS[key]):
            return {name: self.write(item, place / name) for name, item in entries.items() if name not in left_out}

    @contextmanager
    def _inside(self, inside: bool) -> Iterator[None]:
        self._level += inside
        try:
            yield
        finally:
            self._level -= inside

    def _read_only(self, schema: Mapping[str, object], place: Place) -> frozenset[str]:
        """Return the properties that only answers have, wherever `allOf` and references say so."""
        names: set[str] = set()
        seen: set[Place] = set()
        waiting: list[tuple[object, Place]] = [(schema, place)]
        while waiting and len(seen) < MAX_NODES:
            node, where = waiting.pop()
            if where in seen or not isinstance(node, Mapping):
                continue
            seen.add(where)
            if "$ref" in node:
                waiting.append(self._document.target(node["$ref"], where))
                if self._document.is_30:
                    continue
            members = node.get("allOf")
            if isinstance(members, list):
                waiting += [(member, where / "allOf" / index) for index, member in enumerate(members)]
            properties = node.get("properties")
            for name, value in properties.items() if isinstance(properties, Mapping) else ():
                if self._is_read_only(value, where / "properties" / name):
                    names.add(name)
        return frozenset(names)

    def _is_read_only(self, node: object, place: Place) -> bool:
        if not isinstance(node, Mapping):
            return False
        if "$ref" not in node:
            return node.get("readOnly") is True
        if not self._document.is_30 and "readOnly" in node:
            return node["readOnly"] is True
        found = self._document.follow(node, place).node
        return isinstance(found, Mapping) and found.get("readOnly") is True

    def _discriminator(self, schema: Mapping[str, object], branches: list[object], place: Place) -> Schema:
        """Return the discriminator, and write into each branch the value that stands for it, where that is plain."""
        discriminator = mapping(schema["discriminator"], place / "discriminator")
        name = discriminator.get("propertyName")
        named = discriminator.get("mapping")
        values = {}
        for value, ref in named.items() if isinstance(named, Mapping) else ():
            # a bare name is that of a schema (OpenAPI 3.1.0 §4.8.25.2)
            bare = isinstance(ref, str) and "/" not in ref and "." not in ref and "#" not in ref
            target = self._document.target(f"#/components/schemas/{ref}" if bare else ref, self._document.place)
            values[target.place] = value
        key = "oneOf" if "oneOf" in schema else "anyOf"
        for index, (node, branch) in enumerate(zip(_list(schema[key], place / key), branches, strict=True)):
            if not isinstance(node, Mapping) or "$ref" not in node or not isinstance(branch, dict):
                continue
            stands_for = self._document.target(node["$ref"], place / key / index).place
            properties = dict(_items(branch.get("properties")))
            property_ = properties.get(str(name))
            if (
                isinstance(name, str)
                and isinstance(property_, dict)
                and not {"const", "enum", "$ref"} & property_.keys()
            ):
                value = values.get(stands_for, stands_for.pointer.rpartition("/")[2])
                branch["properties"] = {**properties, str(name): {**property_, "const": value}}
        return {"propertyName": name}


def shorten(text: str, limit: int) -> str:
    """Return the text without line breaks in paragraphs and at most so long, cut at a word."""
    text = re.sub(r"(?<=\S)[ \t]*\n[ \t]*(?=\S)", " ", text.strip())
    if len(text) <= limit:
        return text
    return text[: limit - 1].rsplit(" ", 1)[0].rstrip() + "…"


def _list(value: object, place: Place) -> list[object]:
    if not isinstance(value, list):
        raise ConfigError(f"{place}: must be a list")
    return value


def _from_30(schema: Schema) -> None:
    for flag, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        exclusive = schema.get(flag)
        if isinstance(exclusive, bool):
            del schema[flag]
            if exclusive and limit in schema:
                schema[flag] = schema.pop(limit)


def _nullable(schema: Schema) -> Schema:
    kind = schema.get("type")
    if isinstance(kind, str):
        return {**schema, "type": [kind, "null"]}
    if not {"properties", "oneOf", "anyOf", "allOf", "$ref"} & schema.keys():
        return schema
    # Strictly OpenAPI 3.0.3 gives `nullable` no meaning without `type`; those who write it so mean it.
    about: Schema = {key: schema[key] for key in sorted(ANNOTATIONS) if key in schema}
    return {"anyOf": [{key: value for key, value in schema.items() if key not in about}, {"type": "null"}], **about}


def _together(members: list[object], beside: Schema) -> Schema:
    """Return `allOf` as one schema where all are plain objects, which models follow better; else as it stands."""
    if beside.get("unevaluatedProperties") is False:
        rest = {key: value for key, value in beside.items() if key != "unevaluatedProperties"}
        merged = _together(members, rest)
        if _mergeable(merged):
            return {**merged, "additionalProperties": False}
    parts = [*members, beside] if beside else list(members)
    if len(parts) == 1 and isinstance(parts[0], dict):
        return parts[0]
    about: Schema = {key: value for key, value in beside.items() if key in ANNOTATIONS}
    if len(members) == 1 and isinstance(members[0], dict) and beside.keys() == about.keys():
        return members[0] | about
    plain = [part for part in parts if isinstance(part, dict) and _mergeable(part)]
    if len(plain) == len(parts):
        return _merged(plain)
    return {"allOf": members, **beside}


def _mergeable(part: Schema) -> bool:
    return part.keys() <= MERGEABLE and part.get("type", "object") == "object"


def _merged(parts: list[Schema]) -> Schema:
    merged: Schema = {"type": "object"}
    properties: dict[str, object] = {}
    required: list[object] = []
    for part in parts:
        for name, value in _items(part.get("properties")):
            both = [properties[name], value] if name in properties and properties[name] != value else []
            properties[name] = {"allOf": both} if both else value
        names = part.get("required")
        required += [name for name in names if name not in required] if isinstance(names, list) else []
        # what stands beside `allOf` comes last, and speaks for the whole
        merged |= {key: part[key] for key in ("title", "description") if key in part}
    if required:
        merged["required"] = required
    return {**merged, "properties": properties}


def _items(value: object) -> Iterator[tuple[str, object]]:
    yield from value.items() if isinstance(value, dict) else ()
