"""What a model is told of the functions that the gateway runs itself."""

import json

import jsonschema_rs
import pytest
from openai.types.realtime import RealtimeFunctionTool
from pydantic import TypeAdapter

from gateway.agents import Agent
from gateway.agents.functions import BUILT_IN, LOCAL
from gateway.core.functions import collect_arguments, digits_arguments, language_argument
from tests.agents.meaning import plan_of, session_of

ALL = Agent.model_validate(
    {
        "instructions": "x",
        "collect_digits": True,
        "send_digits": True,
        "set_language": ["en", "es"],
        "schedule_callback": True,
        "opt_out": True,
        "transfer": {
            "targets": {
                "billing": {"number": "+14155550100", "description": "Questions about invoices."},
                "desk": {"number": "+14155550101"},
            }
        },
    }
)
OFFERED = {tool["name"]: tool for tool in session_of(ALL)["tools"]}


def accepts(name: str, arguments: object) -> bool:
    validator = jsonschema_rs.validator_for(OFFERED[name]["parameters"])
    return validator.is_valid(arguments)


def test_what_is_offered_is_what_the_core_runs_and_what_is_run_beside_it() -> None:
    core = ["transfer_call", "collect_digits", "send_digits", "set_language", "hang_up"]
    assert list(OFFERED) == [*core[:4], "schedule_callback", "opt_out", "hang_up"]
    assert plan_of(ALL).built_in == set(core)
    assert set(OFFERED) == BUILT_IN and set(OFFERED) - LOCAL == set(core)


def test_what_is_run_beside_the_core_has_rules_as_other_tools_have() -> None:
    rules = plan_of(ALL).tools
    assert set(rules) == LOCAL
    assert rules["opt_out"].filler is not None and rules["opt_out"].deadline_s > 1


def test_a_language_is_one_of_those_that_the_file_allows() -> None:
    assert accepts("set_language", {"language": "es"})
    assert not accepts("set_language", {"language": "fr"})
    assert language_argument('{"language": "es"}', plan_of(ALL).languages) == "es"


@pytest.mark.parametrize("name", sorted(OFFERED))
def test_each_is_a_function_of_the_realtime_api(name: str) -> None:
    TypeAdapter(RealtimeFunctionTool).validate_python(OFFERED[name], strict=True)
    assert set(OFFERED[name]) == {"type", "name", "description", "parameters"}


def test_a_model_chooses_among_the_targets_by_what_they_are_for() -> None:
    transfer = OFFERED["transfer_call"]
    assert transfer["description"].endswith("\n- billing: Questions about invoices.\n- desk")
    assert accepts("transfer_call", {"target": "billing", "summary": "Ann asks about invoice 5."})
    assert not accepts("transfer_call", {"target": "+14155550100", "summary": "x"})
    assert "+1415" not in str(OFFERED)


@pytest.mark.parametrize(
    ("arguments", "right"),
    [
        ({"max_digits": 16, "prompt": "Key in the card number.", "secure": True}, True),
        ({"max_digits": 4, "min_digits": 4, "terminator": "", "prompt": "PIN?"}, True),
        ({"max_digits": 0, "prompt": "x"}, False),
        ({"max_digits": 4, "prompt": "x", "terminator": "9"}, False),
        ({"max_digits": 4}, False),
    ],
)
def test_digits_are_collected_by_sound_arguments_only(arguments: object, right: bool) -> None:
    assert accepts("collect_digits", arguments) is right
    if right:
        assert collect_arguments(json.dumps(arguments)).prompt


@pytest.mark.parametrize(
    ("digits", "right"), [("2", True), ("4711#", True), ("", False), ("12 3", False), ("w1", False)]
)
def test_keys_are_sent_by_sound_arguments_only(digits: str, right: bool) -> None:
    assert accepts("send_digits", {"digits": digits}) is right
    if right:
        assert digits_arguments(json.dumps({"digits": digits})) == digits
