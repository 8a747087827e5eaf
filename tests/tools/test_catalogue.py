"""The catalogue: finding tools, and arguments a model may have written."""

import pytest

from gateway.agents import Agent
from gateway.errors import ConfigError, ToolError
from gateway.tools.catalogue import Catalogue, ToolKind, catalogue_tool, parse_arguments

AGENT = Agent.model_validate(
    {
        "instructions": "x",
        "tools": [
            {
                "name": "lookup_order",
                "description": "x",
                "url": "https://api.example.com/orders",
                "parameters": {
                    "type": "object",
                    "properties": {
                        "order_id": {"type": "string"},
                        "lines": {"type": "array", "items": {"type": "integer"}},
                    },
                    "required": ["order_id"],
                },
            }
        ],
    }
)


def refusal(text: str) -> str:
    with pytest.raises(ToolError) as caught:
        parse_arguments(Catalogue(AGENT).find("lookup_order"), text)
    assert caught.value.code == "bad_arguments" and not caught.value.permanent
    return str(caught.value)


def test_webhooks_and_the_built_in_are_found_by_name() -> None:
    catalogue = Catalogue(AGENT)
    assert catalogue.find("lookup_order").kind is ToolKind.WEBHOOK
    assert catalogue.find("lookup_order").target == AGENT.tools[0]
    assert catalogue.find("hang_up").kind is ToolKind.BUILTIN
    assert [tool.name for tool in catalogue] == ["lookup_order", "hang_up"]


def test_an_invented_tool_is_told_what_there_is() -> None:
    with pytest.raises(ToolError, match="^there is no such tool; the tools are: hang_up, lookup_order$"):
        Catalogue(AGENT).find("refund")
    with pytest.raises(ToolError, match="the tools are: none$"):
        Catalogue(Agent(instructions="x", hang_up=False)).find("hang_up")


def test_good_arguments_are_returned() -> None:
    tool = Catalogue(AGENT).find("lookup_order")
    assert parse_arguments(tool, '{"order_id": "A1", "lines": [1]}') == {"order_id": "A1", "lines": [1]}


def test_a_call_without_arguments_may_be_empty_text() -> None:
    assert parse_arguments(Catalogue(AGENT).find("hang_up"), " ") == {}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{'a': 1}", "the arguments are not valid JSON (expecting property name enclosed in double quotes at character "
         "1); send one JSON object"),
        ('{"order_id": NaN}', "the arguments are not valid JSON (NaN is not JSON); send one JSON object"),
        ("[" * 20_000, "the arguments are not valid JSON (nested too deeply); send one JSON object"),
        ("[1]", "the arguments must be one JSON object, not list"),
        ("", 'the arguments do not fit the tool\'s schema: "order_id" is a required property'),
        ('{"order_id": 5, "lines": ["x"]}', "the arguments do not fit the tool's schema: "
         'order_id: 5 is not of type "string"; lines.0: "x" is not of type "integer"'),
        ('{"order_id": "' + "x" * 33_000 + '"}', "the arguments are over 32 KiB; send less"),
    ],
)  # fmt: skip
def test_bad_arguments_are_a_sentence_to_repair_from(text: str, sentence: str) -> None:
    told = refusal(text)
    assert sorted(told.partition("schema: ")[2].split("; ")) == sorted(sentence.partition("schema: ")[2].split("; "))
    assert told.partition("schema: ")[0] == sentence.partition("schema: ")[0]


def test_many_violations_are_bounded() -> None:
    told = refusal('{"order_id": "A", "lines": [' + ",".join(['"' + "y" * 1000 + '"'] * 20) + "]}")
    assert told.count("; ") == 4
    assert len(told) < 1700


def test_every_function_that_the_gateway_runs_is_known_as_built_in() -> None:
    keys = {"collect_digits": True, "send_digits": True, "transfer": {"targets": {"desk": {"number": "+14155550100"}}}}
    catalogue = Catalogue(Agent.model_validate({"instructions": "x", **keys}))
    assert [tool.name for tool in catalogue] == ["transfer_call", "collect_digits", "send_digits", "hang_up"]
    assert all(tool.kind is ToolKind.BUILTIN and tool.target is None for tool in catalogue)
    with pytest.raises(ToolError, match="target"):
        parse_arguments(catalogue.find("transfer_call"), '{"target": "+14155550100", "summary": "x"}')


def test_functions_of_ours_outside_the_core_are_writes_that_may_be_repeated() -> None:
    catalogue = Catalogue(Agent(instructions="x", hang_up=False, opt_out=True))
    (tool,) = catalogue
    assert (tool.name, tool.kind) == ("opt_out", ToolKind.LOCAL)
    assert tool.policy.effect == "write" and tool.policy.idempotent


def test_imported_tools_stand_beside_the_agents_own() -> None:
    imported = catalogue_tool("find_invoice", ToolKind.OPERATION, "x", {"type": "object"})
    catalogue = Catalogue(AGENT, [imported])
    assert [tool.name for tool in catalogue] == ["lookup_order", "find_invoice", "hang_up"]
    assert [function["name"] for function in catalogue.functions()] == ["lookup_order", "find_invoice", "hang_up"]


def test_two_tools_of_one_name_are_an_error_of_the_file() -> None:
    imported = catalogue_tool("lookup_order", ToolKind.MCP, "x", {"type": "object"})
    with pytest.raises(ConfigError, match="there are two tools 'lookup_order'"):
        Catalogue(AGENT, [imported])
    taken = catalogue_tool("hang_up", ToolKind.MCP, "x", {"type": "object"})
    with pytest.raises(ConfigError, match="there are two tools 'hang_up'"):
        Catalogue(AGENT, [taken])


@pytest.mark.parametrize("text", [r'{"\ud800": 1}', r'{"order_id": "\udfff"}'])
def test_half_a_character_is_refused_in_a_sentence(text: str) -> None:
    assert "surrogate" in refusal(text)
