"""Judging a turn by its words."""

import pytest

from gateway.core.plan import BACKCHANNELS
from gateway.core.words import echoes, only_backchannels, seems_unfinished


@pytest.mark.parametrize("text", ["", "Mm-hm.", "Uh-huh, okay.", "Yeah, right.", "I see."])
def test_words_of_listening_are_recognised(text: str) -> None:
    assert only_backchannels(text, BACKCHANNELS)


@pytest.mark.parametrize("text", ["No.", "Stop!", "Okay, wait.", "Yes, cancel it.", "一秒"])
def test_words_that_mean_something_are_not(text: str) -> None:
    assert not only_backchannels(text, BACKCHANNELS)


@pytest.mark.parametrize(
    "text",
    [
        "My order number is",
        "I live at",
        "Um.",
        "It is five one,",
        "Could I come in on, uh",
        "Hold on.",
        "Hello?",
        "It's 42",
    ],
)
def test_statements_that_seem_to_go_on(text: str) -> None:
    assert seems_unfinished(text)


@pytest.mark.parametrize("text", ["", "Yes.", "Where is my order?", "Four two seven one.", "Thank you, goodbye.", "42"])
def test_statements_that_seem_complete(text: str) -> None:
    assert not seems_unfinished(text)


def test_the_agents_own_words_are_an_echo_and_others_are_not() -> None:
    said = ["Your order has been sent on Monday.", "Hello, this is Acme."]
    assert echoes("order has been sand on Monday", said)
    assert echoes("This is Acme.", said)
    assert not echoes("Stop, when will it come?", said)
    assert not echoes("", said)
