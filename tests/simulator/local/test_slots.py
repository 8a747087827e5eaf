import pytest

from gateway.simulator.local.slots import Slot, fill, placeholder, slot_of
from gateway.simulator.local.tools import Parameter, Value, read_tools

from .conftest import TODAY


@pytest.mark.parametrize(
    ("parameter", "slot"),
    [
        (Parameter("order_id"), Slot.DIGITS),
        (Parameter("orderNumber", "integer"), Slot.DIGITS),
        (Parameter("party_size", "integer"), Slot.NUMBER),
        (Parameter("customer_id"), Slot.DIGITS),
        (Parameter("customer_name"), Slot.NAME),
        (Parameter("pickup_date"), Slot.DATE),
        (Parameter("when", format="date-time"), Slot.DATE_TIME),
        (Parameter("callback"), Slot.PHONE),
        (Parameter("email"), Slot.EMAIL),
        (Parameter("x", rules={"pattern": r"^\d{4}$"}), Slot.DIGITS),
        (Parameter("size", choices=("small", "large")), Slot.CHOICE),
        (Parameter("gift", "boolean"), Slot.YES_NO),
        (Parameter("reason"), Slot.FREE),
    ],
)
def test_the_schema_tells_what_a_parameter_asks_for(parameter: Parameter, slot: Slot) -> None:
    assert slot_of(parameter) is slot


@pytest.mark.parametrize(
    ("parameter", "heard", "value"),
    [
        (Parameter("order_id"), "the status of order for 27", "427"),
        (Parameter("order_id", "integer"), "order 4 2 7", 427),
        (Parameter("order_id"), "I ordered 2 weeks ago, order 5 5 1", "551"),
        (Parameter("order_id"), "I told you three times", None),
        (Parameter("order_id"), "I meant 237, not 2311", "237"),
        (Parameter("order_id", rules={"pattern": r"^ORD-\d+$"}), "order 427", "ORD-427"),
        (Parameter("code", rules={"pattern": r"^\d{5}$"}), "call 427 about zip code 5 0 2 7 9", "50279"),
        (Parameter("party_size", "integer"), "for two people at half past seven", 2),
        (Parameter("party_size", "integer", rules={"maximum": 8}), "for twelve people", None),
        (Parameter("date"), "from the 14th of March to the 21st", "2027-03-21"),
        (Parameter("old_date"), "from the 14th of March to the 21st", "2027-03-14"),
        (Parameter("when", format="date-time"), "tomorrow at 4:15", "2026-11-23T16:15:00"),
        (Parameter("phone"), "call me at 555 010 2345", "5550102345"),
        (Parameter("email"), "It's jane dot miller at example dot com.", "jane.miller@example.com"),
        (Parameter("email"), "sales at example.org", "sales@example.org"),
        (Parameter("name"), "My name is Jordan Carter and I have an appointment", "Jordan Carter"),
        (Parameter("last_name"), "My last name is Miller. M-I-L-L-E-R.", "Miller"),
        (Parameter("size", choices=("small", "extra_large")), "an extra large one please", "extra_large"),
        (Parameter("size", choices=("small", "medium")), "the meduim one", "medium"),
        (Parameter("size", choices=("small", "medium")), "blue", None),
        (Parameter("note", required=True), "leave it at the door", "leave it at the door"),
        (Parameter("anything", required=True), "leave it at the door", None),
    ],
)
def test_a_value_is_found_in_what_was_heard(parameter: Parameter, heard: str, value: Value) -> None:
    assert fill(parameter, heard, TODAY) == value


def test_an_answer_to_a_question_may_be_bare() -> None:
    assert fill(Parameter("name"), "Jordan Carter.", TODAY, asked=True) == "Jordan Carter"
    assert fill(Parameter("gift", "boolean"), "Yes, please.", TODAY, asked=True) is True
    assert fill(Parameter("gift", "boolean"), "No.", TODAY, asked=True) is False
    assert fill(Parameter("colour"), "blue", TODAY, asked=True) == "blue"


def test_a_placeholder_has_the_right_type() -> None:
    assert placeholder(Parameter("n", "integer")) == 0
    assert placeholder(Parameter("s")) == ""
    assert placeholder(Parameter("c", choices=("a", "b"))) == "a"
    assert placeholder(Parameter("d", default="x")) == "x"


def test_hostile_schemas_are_read_without_harm() -> None:
    tools = read_tools(
        [
            {
                "type": "function",
                "name": "a",
                "parameters": {"properties": {"x": {"type": ["null", "integer"]}, "y": 3}},
            },
            {"type": "function", "name": "b", "parameters": {"properties": [], "required": "x"}},
            {"type": "mcp", "name": "c"},
            {"type": "function", "name": 5},
            {
                "type": "function",
                "name": "d",
                "parameters": {"properties": {"z": {"type": "string", "pattern": "(a+)+$("}}},
            },
        ]
    )
    assert [tool.name for tool in tools] == ["a", "b", "d"]
    assert tools[0].parameters == (Parameter("x", "integer"),)
    assert tools[2].parameters[0].fits("a" * 40 + "b"), "a pattern that cannot be used forbids nothing"
