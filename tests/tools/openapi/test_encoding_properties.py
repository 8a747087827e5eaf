"""Whatever a model writes: the request decodes back to it, and nothing leaves its place."""

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import cast
from urllib.parse import unquote

import httpx2
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from gateway.agents.imports import OpenApi
from gateway.errors import ToolError
from gateway.tools.catalogue import CatalogueTool
from gateway.tools.openapi import Operation, load_operations
from gateway.tools.openapi.encoding import Built, build
from gateway.tools.openapi.operation import Argument, BodyKind, Spot, Style

from .world import CLINIC, HOTEL, tools

Values = st.SearchStrategy[object]
HOSTILE = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [
            "..",
            ".",
            "/",
            "../..",
            "a/b",
            "\\",
            "%2F",
            "%2e%2e",
            "\r\nX-Admin: 1",
            "&admin=true",
            "?a=1",
            "#x",
            "a,b",
            "a|b",
        ]
    ),
    st.text(alphabet="./\\%2Ff\r\n\0&=?#;,| []:@é\ud800", max_size=8),
)
SEPARATORS = {Style.FORM: ",", Style.SIMPLE: ",", Style.SPACE: " ", Style.PIPE: "|"}
MAX_DEPTH = 4


def valid_by(schema: object, defs: Mapping[str, object], depth: int = 0) -> Values:
    """Return values that mostly fit a schema; the validator has the last word."""
    if not isinstance(schema, dict):
        return st.none()
    ref = schema.get("$ref")
    if isinstance(ref, str):
        return valid_by(defs[ref.removeprefix("#/$defs/")], defs, depth)
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    for key in ("oneOf", "anyOf"):
        if key in schema:
            return st.one_of([valid_by(part, defs, depth) for part in schema[key]])
    kinds = schema.get("type", "object")
    return st.one_of([of_type(kind, schema, defs, depth) for kind in (kinds if isinstance(kinds, list) else [kinds])])


def of_type(kind: str, schema: Mapping[str, object], defs: Mapping[str, object], depth: int) -> Values:
    match kind:
        case "string" if "pattern" in schema:
            return st.from_regex(cast(str, schema["pattern"]), fullmatch=True)
        case "string":
            return HOSTILE
        case "integer":
            low, high = cast(int, schema.get("minimum", -1000)), cast(int, schema.get("maximum", 10**15))
            return st.one_of(st.integers(low, high), st.integers(low, min(high, 10**9)).map(float))
        case "number":
            return st.floats(allow_nan=False, allow_infinity=False, min_value=-180, max_value=180)
        case "boolean":
            return st.booleans()
        case "array":
            if depth >= MAX_DEPTH:
                return st.just([])
            return st.lists(valid_by(schema.get("items", {"type": "string"}), defs, depth + 1), max_size=3)
        case "object":
            return objects(schema, defs, depth)
        case _:
            return st.none()


def objects(schema: Mapping[str, object], defs: Mapping[str, object], depth: int) -> Values:
    properties = cast(dict[str, object], schema.get("properties", {}))
    required = cast(list[str], schema.get("required", []))
    must = {name: valid_by(properties[name], defs, depth + 1) for name in required if name in properties}
    optional = [name for name in properties if name not in must] if depth < MAX_DEPTH else []
    may = {name: valid_by(properties[name], defs, depth + 1) for name in optional}
    known = st.fixed_dictionaries(must, optional=may)
    more = schema.get("additionalProperties")
    if not isinstance(more, dict):
        return cast(Values, known)
    free = st.dictionaries(HOSTILE, valid_by(more, defs, depth + 1), max_size=3)
    return st.builds(lambda fixed, added: {**added, **fixed}, known, free)


def text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def flat(value: object) -> object:
    """Return what a value looks like once it has been text: without types, and without what is null or empty."""
    if isinstance(value, list):
        return [text(item) for item in value if item is not None] or None
    if isinstance(value, dict):
        return {key: text(item) for key, item in value.items() if item is not None} or None
    return None if value is None else text(value)


def split(joined: str, separator: str, value: object, *, explode: bool) -> object:
    """Undo a style, given only whether a list, an object or neither was written."""
    if isinstance(value, list):
        return joined.split(separator)
    if not isinstance(value, dict):
        return joined
    parts = joined.split(separator)
    if explode:
        return dict(part.split("=") for part in parts)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def decoded(argument: Argument, value: object, pairs: list[tuple[str, str]]) -> object:
    """Take an argument's pairs out of the query and return what they say."""
    name, style = argument.name, argument.style
    if style is Style.DEEP:
        mine = [pair for pair in pairs if re.fullmatch(re.escape(name) + r"\[[^\[\]]*\]", pair[0], re.DOTALL)]
        found: object = {key[len(name) + 1 : -1]: text for key, text in mine} or None
    elif style is Style.FORM and argument.explode and isinstance(value, dict):
        mine = [pair for pair in pairs if pair[0] in value]
        found = dict(mine) or None
    else:
        mine = [pair for pair in pairs if pair[0] == name]
        texts = [text for _, text in mine]
        if style is Style.JSON:
            found = json.loads(texts[0]) if texts else None
        elif argument.explode and isinstance(value, list):
            found = texts or None
        else:
            found = split(texts[0], SEPARATORS[style], value, explode=argument.explode) if texts else None
    for pair in mine:
        pairs.remove(pair)
    return found


def check_round_trip(operation: Operation, arguments: Mapping[str, object], built: Built) -> None:
    assert built.url.isascii() and built.url.isprintable() and " " not in built.url
    assert str(httpx2.URL(built.url)) == built.url  # the client does not make another one of it
    path, _, query = built.url.removeprefix(operation.server).partition("?")
    segments = [unquote(segment) for segment in path.split("/")]
    template = operation.path.split("/")
    assert len(segments) == len(template) and not {".", ".."} & set(segments)
    pairs = unfolded(query)
    for name, value in arguments.items():
        argument = operation.arguments[name]
        match argument.spot:
            case Spot.PATH:
                (segment,) = [got for got, was in zip(segments, template, strict=True) if was == f"{{{argument.name}}}"]
                assert split(segment, ",", value, explode=argument.explode) == flat(value)
            case Spot.QUERY:
                expected = value if argument.style is Style.JSON else flat(value)
                assert decoded(argument, value, pairs) == expected
            case Spot.HEADER if flat(value) is not None:
                sent = built.headers[argument.name]
                assert sent.isascii() and sent == sent.strip() and (sent.isprintable() or not sent)
                assert split(sent, ",", value, explode=argument.explode) == flat(value)
            case _:
                pass
    assert pairs == []
    check_body(operation, arguments, built.content)


def check_body(operation: Operation, arguments: Mapping[str, object], content: bytes | None) -> None:
    spots = {name: operation.arguments[name].spot for name in arguments}
    whole = [arguments[name] for name, spot in spots.items() if spot is Spot.BODY]
    fields = {operation.arguments[name].name: arguments[name] for name, spot in spots.items() if spot is Spot.FIELD}
    if operation.body is BodyKind.JSON and content is not None:
        assert json.loads(content) == (whole[0] if whole else fields)
    elif operation.body is BodyKind.FORM:
        found: dict[str, list[str]] = {}
        for key, value in unfolded((content or b"").decode()):
            found.setdefault(key, []).append(value)
        assert found == {
            key: flat(value) if isinstance(value, list) else [text(value)]
            for key, value in fields.items()
            if flat(value) is not None
        }
    else:
        assert content is None and not whole and not fields


def unfolded(query: str) -> list[tuple[str, str]]:
    parts = (pair.partition("=") for pair in query.split("&") if pair)
    return [(unquote(key), unquote(value)) for key, _, value in parts]


def fits(tool: CatalogueTool, arguments: dict[str, object]) -> bool:
    try:
        return not any(True for _ in tool.validator.iter_errors(arguments))
    except UnicodeEncodeError:  # half a surrogate pair in a key, which the validator cannot take
        return False


def attempt(tool: CatalogueTool, arguments: dict[str, object]) -> bool:
    """Build the request, or be refused; anything else is a fault."""
    assume(fits(tool, arguments))
    operation = tool.target
    assert isinstance(operation, Operation)
    try:
        built = build(operation, arguments)
    except ToolError as error:
        assert error.code == "bad_arguments" and str(error)
        return False
    check_round_trip(operation, arguments, built)
    return True


@cache
def imported() -> dict[str, CatalogueTool]:
    return tools(HOTEL) | tools(CLINIC)


@pytest.mark.parametrize("name", sorted(imported()))
def test_requests_of_both_documents_decode_back(name: str) -> None:
    tool = imported()[name]
    defs = cast(dict[str, object], tool.parameters.get("$defs", {}))

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(valid_by(tool.parameters, defs))
    def check(arguments: object) -> None:
        attempt(tool, cast(dict[str, object], arguments))

    check()


TEXT = {"type": "string"}
LIST = {"type": "array", "items": TEXT}
KEYS = {"type": "object", "properties": {"a": TEXT, "b": TEXT}, "additionalProperties": TEXT}


@cache
def probe(folder: Path) -> CatalogueTool:
    """Return a function with free text in every place and style."""

    def parameter(
        name: str, spot: str, schema: object, style: str | None = None, explode: bool | None = None
    ) -> object:
        said = {key: value for key, value in (("style", style), ("explode", explode)) if value is not None}
        return {"name": name, "in": spot, "required": spot == "path", "schema": schema, **said}

    parameters = [
        parameter("one", "path", TEXT),
        parameter("many", "path", LIST),
        parameter("pairs", "path", KEYS, explode=True),
        parameter("plain", "query", TEXT),
        parameter("repeated", "query", LIST),
        parameter("commas", "query", LIST, explode=False),
        parameter("blanks", "query", LIST, "spaceDelimited", False),
        parameter("pipes", "query", LIST, "pipeDelimited", False),
        parameter("spread", "query", KEYS),
        parameter("folded", "query", KEYS, explode=False),
        parameter("deep", "query", KEYS, "deepObject"),
        parameter("X-One", "header", TEXT),
        parameter("X-Many", "header", LIST),
        parameter("X-Pairs", "header", KEYS, explode=True),
        {"name": "json", "in": "query", "content": {"application/json": {"schema": KEYS}}},
    ]
    body = {"content": {"application/json": {"schema": {"type": "object", "properties": {"said": TEXT, "list": LIST}}}}}
    operation = {"operationId": "probe", "parameters": parameters, "requestBody": body, "responses": {}}
    document = {
        "openapi": "3.1.0",
        "servers": [{"url": "https://api.example.com/v1"}],
        "paths": {"/a/{one}/b/{many}/{pairs}/c": {"post": operation}},
    }
    (folder / "probe.json").write_text(json.dumps(document))
    (tool,) = load_operations(OpenApi(document="probe.json"), folder)
    return tool


@pytest.mark.parametrize(
    "only", [None, "plain", "repeated", "commas", "spread", "folded", "deep", "json", "X-One", "said"]
)
def test_hostile_text_stays_in_its_place(only: str | None, tmp_path_factory: pytest.TempPathFactory) -> None:
    tool = probe(tmp_path_factory.getbasetemp())
    calm = {"one": "1", "many": ["1"], "pairs": {"a": "1"}}
    schema = tool.parameters
    if only is not None:  # one at a time, else nearly all are refused for one of the others
        properties = cast(dict[str, object], schema["properties"])
        schema = {"type": "object", "properties": {only: properties[only]}, "required": [only]}
    sent = 0

    @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(valid_by(schema, {}))
    def check(arguments: object) -> None:
        nonlocal sent
        sent += attempt(tool, calm | cast(dict[str, object], arguments))

    check()
    assert only is None or sent


@pytest.mark.parametrize("place", ["one", "many"])
def test_hostile_text_stays_in_its_segment(place: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    tool = probe(tmp_path_factory.getbasetemp())
    calm: dict[str, object] = {"one": "1", "many": ["1"], "pairs": {"a": "1"}}

    @settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(HOSTILE)
    def check(hostile: str) -> None:
        attempt(tool, {**calm, place: hostile if place == "one" else [hostile, "x"]})

    check()
