import json

import pytest

from gateway.simulator.local.readback import apology, read_back

SORRY = "I am sorry, that did not work."
ELSE = "Can I help you with something else?"


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ({"message": "It is on its way."}, "It is on its way."),
        ({"order_id": "427", "status": "shipped"}, "Okay. Order 4 2 7: the status is shipped."),
        (
            {"order_id": "427", "status": "shipped", "carrier": "Parcel Express", "eta": "2026-11-24"},
            "Okay. Order 4 2 7: the status is shipped, the carrier is Parcel Express, "
            "and the expected arrival is Tuesday, November 24th.",
        ),
        ({"order": {"state": "in_transit", "items": 3}}, "The state is in transit, and the items are 3."),
        ({"slots": ["10:30", "16:00"]}, "The slots are 10:30 in the morning and 4 in the afternoon."),
        ({"confirmed": True}, "It is confirmed."),
        ({"tracking_number": "00412"}, "The tracking number is 0 0 4 1 2."),
        ({"ok": True}, "That is done."),
        ({"ok": False}, "I am sorry, that was not possible."),
        ({}, "That is done."),
        ([], "I found nothing."),
        (["red", "blue"], "I found red and blue."),
        (None, "That is done."),
        ({"error": "no_such_order"}, f"{SORRY} {ELSE}"),
        ({"error": {"message": "there is no such order"}}, f"{SORRY} There is no such order. {ELSE}"),
    ],
)
def test_an_output_is_said_as_a_person_would(output: object, said: str) -> None:
    assert read_back(json.dumps(output), {"order_id": "427"}) == said


def test_an_output_that_is_no_json_is_said_as_it_is() -> None:
    assert read_back("your order 427 has shipped", {}) == "Your order 4 2 7 has shipped."


def test_a_huge_or_deep_output_is_bounded() -> None:
    assert len(read_back(json.dumps({f"key{i}": "x" * 500 for i in range(1000)}), {})) <= 601
    assert len(read_back("[" * 20_000, {})) <= 700


def test_technical_errors_are_not_read_out() -> None:
    assert apology("Traceback (most recent call last): KeyError") == f"{SORRY} {ELSE}"
    assert apology(None) == f"{SORRY} {ELSE}"
