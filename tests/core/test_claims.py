"""What the agent claims to have done, and whether a function did it."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.claims import MAX_ITEMS, Claim, ClaimRules, ClaimsLedger

RULES = ClaimRules(
    {
        "book": ("I have booked", "your appointment is confirmed", "ich habe gebucht", "it has been booked"),
        "cancel": ("I've cancelled",),
    }
)


def tools(text: str) -> list[str]:
    return [claim.tool for claim in RULES.find(text)]


def test_a_claim_names_the_tool_the_phrase_and_the_sentence() -> None:
    assert RULES.find("All right. I’ve just booked Tuesday for you! Bye.") == [
        Claim("book", "I have booked", "I’ve just booked Tuesday for you!".replace("’", "'"))
    ]


@pytest.mark.parametrize(
    "text",
    [
        "I HAVE BOOKED IT",
        "I have gone ahead and booked it.",
        "It's been booked.",
        "Your appointment’s confirmed.",
        "Your appointment with Dr. Meyer on May 5th at 3.30 p.m. is confirmed.",
        "I have booked it, anything else?",
        "No problem, I have booked it.",
        "I can say that I have booked it.",
        "I could not do Monday, but I have booked Tuesday.",
        "Ich habe Ihnen den Termin am 14. März um 9.30 Uhr gebucht.",
    ],
)
def test_other_words_and_contractions_do_not_hide_a_claim(text: str) -> None:
    assert tools(text) == ["book"]


@pytest.mark.parametrize(
    "text",
    [
        "I have not booked it.",
        "I haven't booked it.",
        "I don't think I have booked it.",
        "I have booked nothing.",
        "I have booked it?",
        "Shall I say I have booked it, or do you want to wait?",
        "Once I have booked it, you get a text.",
        "I have to get it booked.",
        "Your appointment is confirmed once you pay.",
        "You said that I have booked it.",
        'They wrote "I have booked it" to you.',
        "I have seen the room you booked.",
        "I hope your appointment is confirmed.",
        "I have no idea.",
        "",
        "?!",
    ],
)
def test_what_is_no_claim_is_not_taken_for_one(text: str) -> None:
    assert tools(text) == []


def test_one_sentence_may_claim_two_things_and_each_only_once() -> None:
    assert tools("I have cancelled Monday, yes, I have cancelled it, and booked Tuesday.") == ["book", "cancel"]


def test_phrases_without_words_are_ignored_and_no_rules_find_nothing() -> None:
    empty = ClaimRules({"book": ("", " ?! ")})
    assert not empty
    assert empty.find("I have booked it.") == []
    assert RULES


@pytest.mark.parametrize("piece", ["I have booked ", "I have ", '"', "«", "I have booked, ", "' ", ".", "1.1", "p.m. "])
def test_hostile_text_takes_no_longer_than_it_is_long(piece: str) -> None:
    begun = time.process_time()
    RULES.find(piece * 100_000)
    assert time.process_time() - begun < 1.0


@given(st.text(max_size=400))
def test_any_text_is_read(text: str) -> None:
    ClaimsLedger(RULES).said("item", text)
    RULES.find(f"I have booked {text} your appointment {text} is confirmed {text}")


# --- the account of one call ----------------------------------------------------------------------


def ledger() -> ClaimsLedger:
    return ClaimsLedger(RULES)


def test_a_claim_without_a_function_is_unbacked_and_names_its_item() -> None:
    one = ledger()
    assert [claim.item_id for claim in one.said("item_1", "I have booked it.")] == ["item_1"]
    assert [(claim.item_id, claim.tool) for claim in one.unbacked()] == [("item_1", "book")]


def test_a_success_before_or_after_backs_every_claim_of_its_function() -> None:
    one = ledger()
    one.said("item_1", "I have booked it.")
    one.started("book")
    one.done("book")
    one.said("item_2", "As I said, I have booked it. I've cancelled the other one.")
    assert [claim.tool for claim in one.unbacked()] == ["cancel"]


def test_a_running_function_backs_a_claim_until_it_fails() -> None:
    one = ledger()
    one.started("book")
    one.said("item_1", "I have booked it.")
    assert one.unbacked() == []
    one.failed("book")
    assert [claim.tool for claim in one.unbacked()] == ["book"]


def test_a_failure_takes_nothing_from_an_earlier_success() -> None:
    one = ledger()
    one.done("book")
    one.started("book")
    one.failed("book")
    one.said("item_1", "I have booked it.")
    assert one.unbacked() == []


def test_what_was_cut_off_takes_the_place_of_what_was_meant_to_be_said() -> None:
    one = ledger()
    one.said("item_1", "Let me see. I have booked it.")
    assert one.said("item_1", "Let me see.") == []
    assert one.unbacked() == []


def test_a_failure_nobody_saw_start_is_no_success_of_another() -> None:
    one = ledger()
    one.failed("book")
    one.said("item_1", "I have booked it.")
    one.started("book")
    assert one.unbacked() == []


def test_the_account_is_bounded() -> None:
    one = ledger()
    for number in range(MAX_ITEMS + 10):
        one.said(f"item_{number}", "I have booked it.")
    assert len(one.unbacked()) == MAX_ITEMS
    assert one.unbacked()[0].item_id == "item_10"
