import pytest

from gateway.simulator.local.matcher import rank, with_placeholders
from gateway.simulator.local.tools import Value, read_tools

from .conftest import TODAY
from .tools_of_a_shop import BOOK, ORDER_STATUS, SHOP, function


@pytest.mark.parametrize(
    ("heard", "name", "arguments"),
    [
        ("I'd like to know the status of order number 427.", "get_order_status", {"order_id": "427"}),
        ("Where's my package? The order number is 9 15 3.", "get_order_status", {"order_id": "9153"}),
        ("has order 7 1 8 4 shipped yet", "get_order_status", {"order_id": "7184"}),
        ("Could you check a delivery for me? It is double 7 3 1.", "get_order_status", {"order_id": "7731"}),
        ("I ordered a pair of boots 2 weeks ago", "get_order_status", {}),
        ("I'd like to book an appointment for next Tuesday at 10 30.", "book_appointment",
         {"date": "2026-11-24", "time": "10:30"}),
        ("Please cancel my appointment on June 3rd.", "cancel_appointment", {"date": "2027-06-03"}),
        ("I need to move my appointment from the 14th of March to the 21st.", "reschedule_appointment",
         {"old_date": "2027-03-14", "new_date": "2027-03-21"}),
        ("Can you send me a copy of my invoice?", "send_invoice_copy", {}),
        ("Transfer me to an agent.", "transfer_to_human", {"reason": "Transfer me to an agent."}),
    ],
)  # fmt: skip
def test_the_right_tool_is_chosen_with_its_arguments(heard: str, name: str, arguments: dict[str, Value]) -> None:
    best = rank(read_tools(SHOP), heard, TODAY)[0]
    assert (best.tool.name, best.arguments) == (name, arguments)


@pytest.mark.parametrize("heard", ["How are you today?", "Yes, that's correct.", "Tell me a joke.", "", "42"])
def test_no_tool_is_chosen_when_none_is_asked_for(heard: str) -> None:
    assert rank(read_tools(SHOP), heard, TODAY) == []


def test_unknown_tools_of_any_client_are_matched_by_enum_and_description() -> None:
    tools = read_tools(
        [
            function("set_lights", "Switch the lamps of a room.", ["room", "state"],
                     room={"type": "string", "enum": ["kitchen", "living_room"]},
                     state={"type": "string", "enum": ["on", "off"]}),
            function("get_weather", "Weather forecast for a city.", ["city"], city={"type": "string"}),
        ]
    )  # fmt: skip
    best = rank(tools, "turn the lights in the living room off", TODAY)[0]
    assert (best.tool.name, best.arguments) == ("set_lights", {"room": "living_room", "state": "off"})
    assert rank(tools, "will it rain in Boston", TODAY)[0].tool.name == "get_weather"


def test_the_first_missing_required_argument_is_named() -> None:
    (match,) = rank(read_tools([BOOK]), "book an appointment for tomorrow", TODAY)
    assert match.missing is not None
    assert match.missing.name == "time"


def test_demanded_arguments_are_made_up() -> None:
    (tool,) = read_tools([ORDER_STATUS])
    assert with_placeholders(tool, {}) == {"order_id": ""}
