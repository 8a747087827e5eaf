"""Texts with variables."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.agents.template import fill, names

KNOWN = {"name": "Ann", "n": 5, "pi": 3.14, "vip": True, "list": [1], "none": None, "order.id": "A-1"}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("Hello {{name}}!", "Hello Ann!"),
        ("Hello {{ name }}, you have {{n}} orders.", "Hello Ann, you have 5 orders."),
        ("Hello {{unknown}}!", "Hello!"),
        ("{{unknown}}Hello.", "Hello."),
        ("{{pi}} {{vip}} {{list}}{{none}}", "3.14 true"),
        ("Order {{order.id}}", "Order A-1"),
        ("{{1x}} {{}} {{a b}} {name} {{name", "{{1x}} {{}} {{a b}} {name} {{name"),
        ("{{{name}}}", "{Ann}"),
    ],
)
def test_a_variable_is_its_value_and_an_unknown_one_nothing(text: str, filled: str) -> None:
    assert fill(text, KNOWN) == filled


def test_what_a_variable_says_is_not_filled_again() -> None:
    assert fill("{{a}}", {"a": "{{b}}", "b": "secret"}) == "{{b}}"


def test_values_stay_on_one_line_and_are_bounded() -> None:
    assert fill("{{a}}", {"a": " one\n\ttwo "}) == "one two"
    assert len(fill("{{a}}", {"a": "x" * 10**6})) == 1000
    assert len(fill("{{a}}" * 20, {"a": "x" * 1000})) == 8000
    assert fill("a {{n}}", {"n": 10**5000}) == "a"


def test_the_variables_of_a_text_are_named_once_each() -> None:
    assert names("{{b}} {{a}} {{ b }} {{-}}") == ("b", "a")
    assert names("plain") == ()


@given(st.text("{}ab _1 ", max_size=60))
def test_no_text_is_a_mistake(text: str) -> None:
    assert len(fill(text, {"a": "x", "b": 2})) <= len(text)
