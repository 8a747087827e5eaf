"""The page is told a call in few words: what is not named is not told, and what a function was given never is."""

import pytest

from gateway.console.story import told
from gateway.store.rows import JournalEntry, JsonValue


def tell(direction: str, kind: str, **data: JsonValue) -> dict[str, JsonValue] | None:
    return told(JournalEntry("c", 7, 1.234, direction, kind, data))  # type: ignore[arg-type]  # one of three


def test_words_of_both_are_told_and_what_was_heard_of_them() -> None:
    assert tell("<", "CallerSaid", item_id="i", text="Hi", usage={"tokens": 4}) == {
        "type": "caller",
        "item_id": "i",
        "text": "Hi",
        "at_s": 1.23,
    }
    assert tell(">", "Heard", item_id="i", ms=120.0, begins_s=4.0) == {
        "type": "heard",
        "item_id": "i",
        "ms": 120.0,
        "at_s": 1.23,
    }
    cut = tell("=", "barge_in", item_id="i", heard_ms=300, received_ms=900)
    assert cut == {"type": "cut", "why": "barge_in", "item_id": "i", "heard_ms": 300, "received_ms": 900, "at_s": 1.23}


def test_a_note_that_names_no_item_is_no_cut() -> None:
    assert tell("=", "muted", caller=1, agent=0) is None


@pytest.mark.parametrize(
    ("direction", "kind"), [("=", "CallerAudio"), (">", "KeepSecret"), ("<", "SecretKept"), ("=", "Dtmf"), ("<", "?")]
)
def test_what_is_not_named_is_not_told(direction: str, kind: str) -> None:
    assert tell(direction, kind, token="secret", digit="1") is None


def test_of_a_function_only_its_name_and_its_fate_are_told() -> None:
    asked = tell(">", "InvokeTool", tool_call_id="t", name="look_up", arguments='{"card": "4111"}', deadline_s=5.0)
    answered = tell("<", "ToolResult", tool_call_id="t", ok=True, output='{"balance": 7}', elapsed_ms=40)
    assert "4111" not in str(asked) and "balance" not in str(answered)
    assert asked is not None and asked["name"] == "look_up"
