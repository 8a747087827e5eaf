"""Reads one file of an OpenAPI document, JSON or YAML, into plain data.

OpenAPI's YAML is that of YAML 1.2 (OpenAPI 3.1.0 §4.3): `no` and `2026-01-31` are text. PyYAML's own loaders follow
YAML 1.1, so values are made here, from the parser's events. Aliases share their value, which costs nothing; who walks
the data bounds what is taken of it.
"""

import json
import math
import re
from pathlib import Path
from typing import NoReturn

import yaml

from gateway.errors import ConfigError
from gateway.tools.catalogue import parse_json

__all__ = ["MAX_BYTES", "read_file"]

MAX_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 200
CONSTANTS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
INTEGER = re.compile(r"[-+]?[0-9]{1,40}")
FLOAT = re.compile(r"[-+]?(\.[0-9]{1,40}|[0-9]{1,40}(\.[0-9]{0,40})?)([eE][-+]?[0-9]{1,3})?")
TEXT_TAG = "tag:yaml.org,2002:str"
PARSER = yaml.CLoader if yaml.__with_libyaml__ else yaml.Loader


def read_file(path: Path, name: str) -> object:
    """Return the file's data. Raises `ConfigError`, a sentence that begins with `name`."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read: {error.strerror}") from None
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"{name}: is over {MAX_BYTES // 1024 // 1024} MiB")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name}: is not UTF-8 text (byte {error.start})") from None
    if text.lstrip().startswith(("{", "[")):
        return _json(text, name)
    return _yaml(text, name)


def _json(text: str, name: str) -> object:
    try:
        data = parse_json(text)
        if "\\u" in text:  # half a surrogate pair can be written so, and is no text
            json.dumps(data, ensure_ascii=False).encode()
        return data
    except UnicodeEncodeError:
        raise ConfigError(f"{name}: holds half a surrogate pair, which is not Unicode text") from None
    except RecursionError:
        raise ConfigError(f"{name}: is nested too deeply") from None
    except ValueError as error:
        raise ConfigError(f"{name}: is not JSON: {error}") from None


def _yaml(text: str, name: str) -> object:
    builder = _Builder(name)
    try:
        for event in yaml.parse(text, Loader=PARSER):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError(f"{name}{line}: is not YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: is not YAML: {str(error).splitlines()[0]}") from None
    return builder.result


class _Builder:
    """Puts the parser's events together, without recursion."""

    def __init__(self, name: str) -> None:
        self.result: object = None
        self._name = name
        self._documents = 0
        self._open: list[tuple[dict[str, object] | list[object], str | None]] = []
        """Collections that are not complete, each with its anchor."""
        self._keys: list[str | None] = []
        """For each of them the key whose value comes next."""
        self._anchors: dict[str, object] = {}

    def take(self, event: yaml.Event) -> None:
        match event:
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    self._refuse(event, "there is a second document")
            case yaml.MappingStartEvent():
                self._begin(event, {})
            case yaml.SequenceStartEvent():
                self._begin(event, [])
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                collection, anchor = self._open.pop()
                self._keys.pop()
                self._complete(event, collection, anchor)
            case yaml.AliasEvent():
                if event.anchor not in self._anchors:
                    self._refuse(event, f"the alias {event.anchor} stands for nothing yet")
                self._complete(event, self._anchors[event.anchor], None)
            case yaml.ScalarEvent():
                self._scalar(event)

    def _begin(self, event: yaml.CollectionStartEvent, collection: dict[str, object] | list[object]) -> None:
        if event.tag is not None and not event.implicit:
            self._refuse(event, f"the tag {event.tag} is not supported")
        if self._wants_key():
            self._refuse(event, "a key must be plain text")
        if len(self._open) == MAX_DEPTH:
            self._refuse(event, f"is nested deeper than {MAX_DEPTH} levels")
        self._open.append((collection, event.anchor))
        self._keys.append(None)

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        if event.tag not in (None, "!", TEXT_TAG):
            self._refuse(event, f"the tag {event.tag} is not supported")
        if not self._wants_key():
            self._complete(event, _value(event.value) if event.implicit[0] else event.value, event.anchor)
            return
        collection = self._open[-1][0]
        if event.value in collection:
            self._refuse(event, f"the key {event.value[:80]!r} is there twice")
        if event.value == "<<" and event.implicit[0]:
            self._refuse(event, "merge keys (<<) are not part of YAML 1.2; write the keys out")
        self._keys[-1] = event.value
        if event.anchor:
            self._anchors[event.anchor] = event.value

    def _complete(self, event: yaml.Event, value: object, anchor: str | None) -> None:
        if anchor:
            self._anchors[anchor] = value
        if not self._open:
            self.result = value
            return
        match self._open[-1][0]:
            case list() as items:
                items.append(value)
            case dict() as mapping:
                key = self._keys[-1]
                if key is None:
                    self._refuse(event, "a key must be plain text")
                mapping[key] = value
                self._keys[-1] = None

    def _wants_key(self) -> bool:
        return bool(self._open) and isinstance(self._open[-1][0], dict) and self._keys[-1] is None

    def _refuse(self, event: yaml.Event, message: str) -> NoReturn:
        line = f":{event.start_mark.line + 1}" if event.start_mark else ""
        raise ConfigError(f"{self._name}{line}: {message}")


def _value(text: str) -> object:
    if text in CONSTANTS:
        return CONSTANTS[text]
    if INTEGER.fullmatch(text):
        return int(text)
    if FLOAT.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    return text
