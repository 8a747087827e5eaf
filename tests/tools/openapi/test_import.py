"""Which operations become functions, under which names, with which policy; and every way a section can be wrong."""

import re
from pathlib import Path

import jsonschema_rs
import pytest

from gateway.errors import ConfigError
from gateway.tools.catalogue import Catalogue, ToolKind
from gateway.tools.openapi import Operation, read_operations

from .small import SERVERS, document, get, imported, refusal
from .world import CLINIC, DOCUMENTS, HOTEL, section, tools

NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
HOTEL_SKIPPED = {"uploadPhoto", "downloadInvoice", "getBookingLegacy", "statusOptions"}
CLINIC_SKIPPED = {"uploadDocument", "download", "byMatrix", "history", "traceExport"}


@pytest.mark.parametrize(
    ("name", "offered", "skipped"), [(HOTEL, 24, HOTEL_SKIPPED), (CLINIC, 22, CLINIC_SKIPPED)], ids=["hotel", "clinic"]
)
def test_a_document_of_real_size_becomes_functions(name: str, offered: int, skipped: set[str]) -> None:
    found = read_operations(section(name), DOCUMENTS)
    assert len(found.tools) == offered
    assert {note.operation for note in found.skipped} == skipped
    for tool in found.tools:
        assert tool.kind is ToolKind.OPERATION and isinstance(tool.target, Operation)
        assert NAME.fullmatch(tool.name) and 0 < len(tool.description) <= 1000
        assert tool.parameters["type"] == "object" and not {"oneOf", "anyOf", "allOf"} & tool.parameters.keys()
        assert tool.parameters["additionalProperties"] is False
        jsonschema_rs.Draft202012Validator(dict(tool.parameters))
        text = str(tool.parameters)
        assert not re.search(r"'(readOnly|writeOnly|example|examples|xml|deprecated|nullable|x-\w+)': ", text) or (
            "x-internal" in text  # a property of that name
        )


@pytest.mark.parametrize(
    ("name", "effect", "idempotent"),
    [
        ("getHouse", "read", False),
        ("isUp", "read", False),
        ("replaceReservation", "write", True),
        ("cancelReservation", "write", True),
        ("createReservation", "write", False),
        ("updateGuest", "write", False),
    ],
)
def test_the_method_says_what_a_function_does(name: str, effect: str, idempotent: bool) -> None:
    policy = tools(HOTEL)[name].policy
    assert (policy.effect, policy.idempotent) == (effect, idempotent)


def test_tags_operations_and_exclude_choose() -> None:
    assert set(tools(HOTEL, tags=["houses"])) == {"listHouses", "getHouse", "updateHouse"}
    chosen = tools(HOTEL, tags=["houses"], operations=["getPoints"], exclude=["updateHouse"])
    assert set(chosen) == {"listHouses", "getHouse", "getPoints"}
    assert len(tools(HOTEL, exclude=["isUp"])) == 23


def test_what_the_section_says_wins() -> None:
    said = {
        "createReservation": {"name": "book", "description": "Book it.", "idempotent": True, "timeout_s": 20},
        "getHouse": {"bounds": {"house_code": {"fixed": "BGO1"}}},
    }
    found = tools(HOTEL, defaults={"timeout_s": 5}, tools=said)
    book = found["book"]
    assert (book.description, book.policy.idempotent, book.policy.timeout_s) == ("Book it.", True, 20)
    assert (found["isUp"].policy.timeout_s, found["isUp"].policy.effect) == (5, "read")
    assert found["getHouse"].policy.bounds["house_code"].fixed == "BGO1"


def test_a_deprecated_operation_is_there_when_it_is_named() -> None:
    assert "getBookingLegacy" in tools(HOTEL, operations=["getBookingLegacy"])
    assert "history" in tools(CLINIC, tools={"history": {"timeout_s": 3}})


def test_operations_without_an_id_are_named_by_method_and_path() -> None:
    assert "post_wake_up_calls" in tools(HOTEL)
    assert "get_opening_hours" in tools(CLINIC, operations=["get_opening_hours"])


def test_servers_of_a_path_and_variables_are_heeded() -> None:
    found = tools(CLINIC)
    servers = {tool.target.server for tool in found.values() if isinstance(tool.target, Operation)}
    assert servers == {"https://birchlane.example.org/api", "https://public.birchlane.example.org"}
    target = tools(HOTEL)["isUp"].target
    assert isinstance(target, Operation) and target.server == "https://eu.api.larkspur.example.com/v4"


def test_what_the_agents_file_fills_in_is_not_asked_of_the_model(tmp_path: Path) -> None:
    parameters = [
        {"name": "X-Api-Key", "in": "header", "required": True, "schema": {"type": "string"}},
        {"name": "X-Tenant", "in": "header", "required": True, "schema": {"type": "string"}},
        {"name": "Authorization", "in": "header", "schema": {"type": "string"}},
        {"name": "q", "in": "query", "schema": {"type": "string"}},
    ]
    text = document({"/it": get(parameters=parameters)})
    auth = {"kind": "header", "name": "x-api-key", "secret": "env:KEY"}
    (tool,) = imported(tmp_path, text, auth=auth, headers={"x-tenant": "acme"}).tools
    assert list(tool.parameters["properties"]) == ["q"]  # type: ignore[call-overload]
    (note,) = imported(tmp_path, text).skipped
    assert "the header 'X-Api-Key' looks like a secret, which no model fills in" in note.text


def test_the_catalogue_takes_them_beside_the_agents_own() -> None:
    from gateway.agents import Agent

    catalogue = Catalogue(Agent(instructions="x"), tools(CLINIC).values())
    assert {"freeSlots", "hang_up"} <= {function["name"] for function in catalogue.functions()}


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"tags": ["house"]}, "hotel.yaml#: tags: there is no tag 'house'; did you mean 'houses'?"),
        (
            {"operations": ["getHose"]},
            "hotel.yaml#: operations: there is no operation 'getHose'; did you mean 'getHouse'?",
        ),
        ({"exclude": ["zz"]}, "hotel.yaml#: exclude: there is no operation 'zz'; there are: addNote, "),
        ({"tools": {"getGest": {}}}, "hotel.yaml#: tools: there is no operation 'getGest'; did you mean 'getGuest'?"),
        (
            {"tags": ["houses"], "tools": {"isUp": {}}},
            "hotel.yaml#: tools: 'isUp' is not among the operations that are offered",
        ),
        (
            {"operations": ["uploadPhoto"]},
            "hotel.yaml#/paths/~1houses~1{house_code}~1photos/post: uploadPhoto cannot be called: ",
        ),
        ({"operations": ["downloadInvoice"]}, "it answers with application/pdf, which cannot be told"),
        (
            {"tools": {"isUp": {"name": "getHouse"}}},
            "hotel.yaml#/paths/~1status/head: there are two functions 'getHouse'",
        ),
        (
            {"tools": {"getHouse": {"bounds": {"house": {"fixed": 1}}}}},
            "bounds: there is no argument 'house'; did you mean 'house_code'?",
        ),
        ({"tools": {"getHouse": {"bounds": {"house": {"maximum": 1}}}}}, "there is no argument 'house'"),
        ({"tools": {"addNote": {"on_interrupt": "cancel"}}}, "addNote: on_interrupt: cancel needs effect: read"),
    ],
)
def test_a_wrong_section_is_told_in_one_sentence(said: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        tools(HOTEL, **said)
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("paths", "sentence"),
    [
        ({"it": get()}, "api.yaml#/paths/it: a path begins with / and has no ? and no #"),
        ({"/a?x={y}": get()}, "a path begins with / and has no ? and no #"),
        ({"/{a}": get()}, "api.yaml#/paths/~1{a}/get: the path names {a}, which is no parameter"),
        (
            {"/a": get(), "/b": get()},
            "#/paths/~1b/get: the operationId 'get' belongs to api.yaml#/paths/~1a/get already",
        ),
        ({"/a": get(parameters={})}, "api.yaml#/paths/~1a/get/parameters: must be a list"),
        ({"/a": get(parameters=[{"name": "x"}])}, "/get/parameters/0: a parameter needs a name, and in: path, query,"),
        ({"/a": get(parameters=[{"name": "x", "in": "query"}])}, "parameters/0: a parameter needs a schema"),
        (
            {"/a": get(parameters=[{"name": "x", "in": "query", "schema": []}])},
            "0/schema: must be an object (keys with",
        ),
        (
            {"/a": get(parameters=[{"name": "x", "in": "query", "schema": {"type": "text"}}])},
            "api.yaml#/paths/~1a/get: tool get: the parameters are no JSON Schema: ",
        ),
        ({"/a": []}, "api.yaml#/paths/~1a: must be an object"),
        ([], "api.yaml#/paths: must be an object"),
        ({"/a": get(tags="x")}, "/tags: must be a list"),
        ({f"/{n}": {"get": {}} for n in range(2001)}, "api.yaml#: has more than 2000 operations"),
        ({f"/{n}": {"get": {}} for n in range(129)}, "api.yaml#: gives 129 functions, and a model can be offered 128"),
    ],
)
def test_a_wrong_document_is_told_with_its_place(paths: dict[str, object], sentence: str, tmp_path: Path) -> None:
    assert sentence in refusal(tmp_path, document(paths))


@pytest.mark.parametrize(
    ("servers", "sentence"),
    [
        ([], "api.yaml#: names no server; set server"),
        ([{"url": "/v1"}], "api.yaml#/servers/0: the server '/v1' is relative; set server to the whole address"),
        ([{"url": "https://{region}.example.com"}], "the variable {region} has no default; set server"),
        ([{"url": "https://api.example.com/?x=1"}], "the server must not have a query"),
        ([{"url": "ftp://example.com"}], "api.yaml#/servers/0: the server must be a URL such as"),
        ([{"url": "https://u:p@example.com"}], "the server must not hold a user, password or fragment"),
    ],
)
def test_a_server_that_cannot_be_called_is_refused(servers: object, sentence: str, tmp_path: Path) -> None:
    text = document({"/a": get()}, servers=servers)
    assert sentence in refusal(tmp_path, text)
    assert imported(tmp_path, text, server="https://api.example.com").tools


@pytest.mark.parametrize(
    ("parameter", "sentence"),
    [
        ({"name": "s", "in": "cookie", "schema": {}}, "cookies are not sent"),
        ({"name": "Host", "in": "header", "schema": {}}, "the header 'Host' cannot be set"),
        ({"name": "X\r\nY", "in": "header", "schema": {}}, "cannot be set"),
        ({"name": "d", "in": "query", "style": "deepObject", "schema": {"type": "string"}}, "written as deepObject"),
        (
            {"name": "p", "in": "query", "style": "pipeDelimited", "schema": {"type": "object"}},
            "written as pipeDelimited",
        ),
        (
            {"name": "n", "in": "query", "schema": {"type": "array", "items": {"type": "array"}}},
            "lists and objects inside of one another cannot be written as form",
        ),
        (
            {"name": "m", "in": "query", "style": "matrix", "schema": {}},
            "the style 'matrix' is not supported in the query",
        ),
        ({"name": "c", "in": "query", "content": {"text/csv": {}}}, "parameters with content are supported as JSON"),
        ({"name": "i", "in": "query", "schema": {"$id": "x"}}, "schema/$id: this keyword is not supported"),
    ],
)
def test_a_parameter_that_cannot_be_sent_is_left_out_or_its_operation_is(
    parameter: dict[str, object], sentence: str, tmp_path: Path
) -> None:
    optional = imported(tmp_path, document({"/a": get(parameters=[parameter])}))
    assert optional.tools[0].parameters["properties"] == {}
    assert sentence in optional.notes[0].text
    if parameter["in"] != "path":
        needed = imported(tmp_path, document({"/a": get(parameters=[{**parameter, "required": True}])}))
        assert needed.tools == () and sentence in needed.skipped[0].text


def test_a_post_with_one_server_needs_nothing_else(tmp_path: Path) -> None:
    (tool,) = imported(tmp_path, document({"/a": {"post": {}}}, servers=SERVERS)).tools
    assert (tool.name, tool.description, tool.policy.effect) == ("post_a", "POST /a", "write")
