"""The HTTP request of one operation, made from the arguments a model wrote.

The arguments fit the function's schema, and are hostile all the same: each stays in its place. In a path that means no
slash and no dots alone, also after one more decoding: many servers decode before they look for the route, so `%2F`
would reach another one. In lists with a separator, no entry may hold the separator; most servers decode before they
split.

Styles are those of OpenAPI 3.1.0 §4.8.12.4; reserved characters are always percent-encoded, also where a document says
`allowReserved`.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple, NoReturn
from urllib.parse import quote, unquote

from gateway.errors import ToolError
from gateway.tools.openapi.operation import Argument, BodyKind, Operation, Spot, Style

__all__ = ["Built", "build", "json_document"]

MAX_URL_CHARS = 8000
"""As much as RFC 9110 §4.1 asks servers to take, at least."""
TEMPLATE_SAFE = "/:@!$&'()*+,;=-._~%"
SEPARATORS = {Style.FORM: ",", Style.SIMPLE: ",", Style.SPACE: " ", Style.PIPE: "|"}
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
HEADER_VALUE = re.compile(r"([\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?)?")
"""RFC 9110 §5.5, without what is not ASCII."""

Pairs = list[tuple[str, str]]


class Built(NamedTuple):
    """A request without what comes from the agents file."""

    url: str
    headers: dict[str, str]
    content: bytes | None


def build(operation: Operation, arguments: Mapping[str, object]) -> Built:
    """Return the request. Raises `ToolError` (code `bad_arguments`) from which the model can repair its call."""
    path: dict[str, str] = {}
    query: Pairs = []
    headers: dict[str, str] = {}
    fields: dict[str, object] = {}
    whole: list[object] = []
    for name, value in arguments.items():
        argument = operation.arguments.get(name)
        if argument is None:
            _refuse(name, "is not an argument of this function")
        match argument.spot:
            case Spot.PATH:
                path[argument.name] = _segment(name, argument, value)
            case Spot.QUERY if value is not None:
                _extend(query, name, _query(name, argument, value), operation)
            case Spot.HEADER if value is not None:
                headers[argument.name] = _header(name, argument, value)
            case Spot.FIELD:
                fields[argument.name] = value
            case Spot.BODY:
                whole.append(value)
            case _:
                pass  # null: a parameter that is not there
    url = operation.server + _path(operation, path) + _written(query, "?")
    if len(url) > MAX_URL_CHARS:
        raise ToolError("the arguments are too long for this function; send less", code="bad_arguments")
    return Built(url, headers, _content(operation, fields, whole))


def json_document(value: object) -> bytes:
    """Return compact JSON. Half a surrogate pair, which UTF-8 cannot hold, is escaped. Raises `ToolError`."""
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()
    except RecursionError:
        raise ToolError("the arguments are nested too deeply", code="bad_arguments") from None


def _path(operation: Operation, values: Mapping[str, str]) -> str:
    def fill(match: re.Match[str]) -> str:
        if match[1] not in values:
            _refuse(match[1], "is needed")
        return values[match[1]]

    parts = re.split(r"(\{[^{}/]+\})", operation.path)
    path = "".join(
        re.sub(r"\{([^{}/]+)\}", fill, part) if part.startswith("{") else quote(part, safe=TEMPLATE_SAFE)
        for part in parts
    )
    for segment in path.split("/"):
        if unquote(segment) in (".", ".."):
            raise ToolError("an argument in the path must not be dots alone", code="bad_arguments")
    return path


def _segment(name: str, argument: Argument, value: object) -> str:
    text = _joined(name, argument, value)
    for once in (text, unquote(text)):
        if not once or "/" in once or "\\" in once or CONTROL.search(once) or not once.strip(". "):
            _refuse(name, "must be plain text here: not empty, not dots alone, without slashes and line breaks")
    return _quoted(name, text)


def _header(name: str, argument: Argument, value: object) -> str:
    text = _joined(name, argument, value)
    if not HEADER_VALUE.fullmatch(text):
        _refuse(name, "must be plain text here: letters of ASCII on one line, without blanks around it")
    return text


def _query(name: str, argument: Argument, value: object) -> Pairs:
    key = argument.name
    match value:
        case _ if argument.style is Style.JSON:
            return [(key, json_document(value).decode())]
        case dict() if argument.style is Style.DEEP:
            return [(f"{key}[{_key(name, part)}]", text) for part, text in _entries(name, value)]
        case dict() if argument.style is Style.FORM and argument.explode:
            return [(part, text) for part, text in _entries(name, value)]
        case list() if argument.explode and argument.style is not Style.DEEP:
            return [(key, text) for text in _items(name, value)]
        case dict() | list():
            return [(key, _joined(name, argument, value))] if value else []
        case _ if argument.style is Style.DEEP:
            _refuse(name, "must be an object")
        case _:
            return [(key, _text(name, value))]


def _extend(query: Pairs, name: str, pairs: Pairs, operation: Operation) -> None:
    """Add what an argument gives. An object's keys may not take the name of another parameter."""
    argument = operation.arguments[name]
    if argument.style is Style.FORM and argument.explode:
        others = {other.name for other in operation.arguments.values() if other.spot is Spot.QUERY}
        if operation.auth is not None and operation.auth.kind == "query":
            others.add(operation.auth.name or "")
        for key, _ in pairs:
            if key != argument.name and (key in others or key.partition("[")[0] in others):
                _refuse(name, f"must not hold {key[:64]!r}, which is a parameter of its own")
    query += pairs


def _joined(name: str, argument: Argument, value: object) -> str:
    """Return a value as one text, parts joined by the style's separator."""
    separator = SEPARATORS.get(argument.style)
    if separator is None and isinstance(value, dict | list):
        _refuse(name, "must be a plain value")
    match value:
        case list():
            parts = list(_items(name, value))
        case dict() if argument.explode:
            parts = [f"{_part(name, key, '=')}={_part(name, text, '=')}" for key, text in _entries(name, value)]
        case dict():
            parts = [part for entry in _entries(name, value) for part in entry]
        case _:
            return _text(name, value)
    return str(separator).join(_part(name, part, str(separator)) for part in parts)


def _part(name: str, text: str, separator: str) -> str:
    if separator in text:
        _refuse(name, f"must not hold {separator!r} inside of an entry")
    return text


def _key(name: str, key: str) -> str:
    if "[" in key or "]" in key:
        _refuse(name, "must not hold brackets in its keys")
    return key


def _items(name: str, values: list[object]) -> Iterator[str]:
    yield from (_text(name, value) for value in values if value is not None)


def _entries(name: str, values: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    yield from ((key, _text(name, value)) for key, value in values.items() if value is not None)


def _text(name: str, value: object) -> str:
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case float() if value.is_integer() and abs(value) < 2**53:
            return str(int(value))  # to JSON Schema 5.0 is an integer; to most servers "5.0" is none
        case float() if math.isfinite(value):
            return repr(value)
        case int():
            return _integer(name, value)
        case _:
            _refuse(name, "must hold plain values only, no lists or objects inside")


def _integer(name: str, value: int) -> str:
    if abs(value) >= 10**40:
        _refuse(name, "is too large a number")
    return str(value)


def _content(operation: Operation, fields: Mapping[str, object], whole: list[object]) -> bytes | None:
    match operation.body:
        case None:
            return None
        case BodyKind.FORM:
            return _form(operation, fields)
        case BodyKind.JSON if whole:
            return json_document(whole[0])
        case BodyKind.JSON if fields or operation.body_required:
            return json_document(fields)
        case BodyKind.JSON:
            return None


def _form(operation: Operation, fields: Mapping[str, object]) -> bytes | None:
    pairs: Pairs = []
    for key, value in fields.items():
        if isinstance(value, list):
            pairs += [(key, text) for text in _items(key, value)]
        elif value is not None:
            pairs.append((key, _text(key, value)))
    return _written(pairs, "").encode() if pairs or operation.body_required else None


def _written(pairs: Pairs, before: str) -> str:
    return (before if pairs else "") + "&".join(f"{_quoted(key, key)}={_quoted(key, text)}" for key, text in pairs)


def _quoted(name: str, text: str) -> str:
    try:
        return quote(text, safe="")
    except UnicodeEncodeError:
        _refuse(name, "is not valid Unicode text")


def _refuse(name: str, reason: str) -> NoReturn:
    raise ToolError(f"the argument {name[:64]!r} {reason}", code="bad_arguments")
