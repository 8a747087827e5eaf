"""What the sample business does when its functions are called, and that it does it once."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.business.shop import ROBIN, SAM, STRANGER, TUESDAY, in_loop, talking


@in_loop
async def test_an_appointment_is_booked_and_said(tmp_path: Path) -> None:
    async with talking(tmp_path) as talk:
        answer = await talk.call("book_appointment", date=TUESDAY, time="10:30")
        assert answer.status_code == 200
        assert answer.json() == {
            "result": {"date": TUESDAY, "time": "10:30", "status": "booked"},
            "say": "I have booked your appointment on Tuesday, November 24 at 10:30 in the morning.",
        }
        assert talk.rows("appointments") == [{"date": TUESDAY, "time": "10:30", "number": SAM}]


@in_loop
async def test_a_repeated_call_gets_the_same_answer_and_is_not_done_again(tmp_path: Path) -> None:
    async with talking(tmp_path) as talk:
        first = await talk.call("book_appointment", date=TUESDAY, time="10:30")
        again = await talk.call("book_appointment", attempt=2, time="10:30", date=TUESDAY)
        assert (again.status_code, again.json()) == (200, first.json())
        assert len(talk.rows("appointments")) == 1


@in_loop
async def test_of_many_at_once_with_one_key_one_is_done(tmp_path: Path) -> None:
    async with talking(tmp_path) as talk:
        calls = [talk.call("book_appointment", date=TUESDAY, time="10:30") for _ in range(12)]
        answers = await asyncio.gather(*calls)
        assert {(one.status_code, one.text) for one in answers} == {(200, answers[0].text)}
        assert len(talk.rows("appointments")) == len(talk.rows("answers")) == 1


@in_loop
async def test_a_key_that_another_request_had_is_a_conflict(tmp_path: Path) -> None:
    async with talking(tmp_path) as talk:
        await talk.call("book_appointment", date=TUESDAY, time="10:30")
        assert (await talk.call("book_appointment", date=TUESDAY, time="11:00")).status_code == 409
        assert (await talk.call("move_appointment", date=TUESDAY, time="10:30")).status_code == 409
        assert [row["time"] for row in talk.rows("appointments")] == ["10:30"]


@in_loop
async def test_a_refusal_is_remembered_too(tmp_path: Path) -> None:
    async with talking(tmp_path) as talk:
        first = await talk.call("cancel_appointment")
        await talk.call("book_appointment", date=TUESDAY, time="10:30", key="key_2")
        assert (await talk.call("cancel_appointment")).json() == first.json()
        assert len(talk.rows("appointments")) == 1


@in_loop
async def test_what_cannot_be_put_on_record_is_not_done(tmp_path: Path) -> None:
    async with talking(tmp_path) as talk:
        with talk.shop.database.transaction() as db:
            db.execute("ALTER TABLE answers RENAME COLUMN body TO gone")
            db.execute("CREATE TRIGGER full BEFORE INSERT ON answers BEGIN SELECT RAISE(ABORT, 'full'); END")
            db.execute("ALTER TABLE answers RENAME COLUMN gone TO body")
        with pytest.raises(Exception, match="full"):
            await talk.call("book_appointment", date=TUESDAY, time="10:30")
        assert talk.rows("appointments") == []


@in_loop
async def test_an_appointment_moves_and_goes(tmp_path: Path) -> None:
    async with talking(tmp_path) as talk:
        await talk.call("book_appointment", date=TUESDAY, time="10:30", key="1")
        moved = await talk.call("move_appointment", date="2026-11-26", time="15:00", key="2")
        assert moved.json()["say"] == "I have moved your appointment to Thursday, November 26 at 3 in the afternoon."
        free = await talk.call("find_times", date=TUESDAY, key="3")
        assert "10:30" in free.json()["result"]["free"]
        assert (await talk.call("cancel_appointment", key="4")).json()["result"]["status"] == "cancelled"
        assert talk.rows("appointments") == []


@in_loop
async def test_orders_are_looked_up_changed_and_cancelled(tmp_path: Path) -> None:
    async with talking(tmp_path) as talk:
        found = await talk.call("look_up_order", caller=STRANGER, order_id="427", key="1")
        assert found.json()["result"] == {"order_id": "427", "status": "on the way", "expected_arrival": "tomorrow"}
        await talk.call("change_address", caller=ROBIN, order_id="9153", address="1 New Street", key="2")
        await talk.call("cancel_order", caller=ROBIN, order_id="9153", key="3")
        order = next(row for row in talk.rows("orders") if row["order_id"] == "9153")
        assert (order["address"], order["status"]) == ("1 New Street", "cancelled")


@pytest.mark.parametrize(
    ("name", "arguments", "status", "told"),
    [
        ("look_up_order", {"order_id": "999"}, 404, "There is no order with this number"),
        ("look_up_order", {"order_id": "../etc"}, 422, "1 of the arguments cannot be used"),
        ("look_up_order", {}, 422, "1 of the arguments cannot be used"),
        ("cancel_order", {"order_id": "9153"}, 403, "This can only be done from the telephone number of the order"),
        ("cancel_order", {"order_id": "427"}, 409, "It cannot be cancelled any more, the order is on the way"),
        ("refund_order", {"order_id": "9153"}, 403, "This can only be done from the telephone number of the order"),
        (
            "change_address",
            {"order_id": "427", "address": "1 New Street"},
            409,
            "The address cannot be changed any more",
        ),
        ("book_appointment", {"date": "2026-11-28", "time": "10:30"}, 422, "from Monday to Friday only"),
        ("book_appointment", {"date": "2026-11-23", "time": "10:30"}, 422, "from tomorrow on"),
        ("book_appointment", {"date": "2027-11-24", "time": "10:30"}, 422, "from tomorrow on"),
        ("book_appointment", {"date": TUESDAY, "time": "10:17"}, 409, "Free on that day: 09:00, 09:30, 10:00, 10:30"),
        ("move_appointment", {"date": TUESDAY, "time": "10:30"}, 404, "There is no appointment"),
        ("burn_down", {}, 404, "There is no such function"),
    ],
)
@in_loop
async def test_what_cannot_be_done_is_refused_in_a_sentence(
    tmp_path: Path, name: str, arguments: dict[str, Any], status: int, told: str
) -> None:
    async with talking(tmp_path) as talk:
        answer = await talk.call(name, **arguments)
        assert answer.status_code == status
        assert told in answer.json()["error"]["message"]
        assert talk.rows("appointments") == []


@in_loop
async def test_nobody_gets_a_time_that_is_taken_nor_two_appointments(tmp_path: Path) -> None:
    async with talking(tmp_path) as talk:
        await talk.call("book_appointment", date=TUESDAY, time="10:30", key="1")
        taken = await talk.call("book_appointment", date=TUESDAY, time="10:30", caller=ROBIN, key="2")
        assert taken.json()["error"]["message"].startswith("That time is not free")
        second = await talk.call("book_appointment", date=TUESDAY, time="11:00", key="3")
        assert "already" in second.json()["error"]["message"]
