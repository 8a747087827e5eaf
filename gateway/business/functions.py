"""What the model may call, and what each call does. A request is carried out once, however often it comes.

A function gets the open transaction, the telephone call, and the arguments; it returns an answer or raises `Refused`,
always before it has changed anything. The gateway has checked the arguments against the schema of the agents file,
but they still come from a conversation: whose order it is, and what is possible, is checked here.
"""

import json
import sqlite3
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date as Date
from datetime import timedelta

from pydantic import BaseModel, Field, JsonValue, ValidationError

from gateway.business.database import Database
from gateway.business.messages import FunctionCall

__all__ = ["FUNCTIONS", "Answer", "carry_out", "customer_of"]

TIMES = tuple(f"{hour:02d}:{minute:02d}" for hour in range(9, 17) for minute in (0, 30))
"""When appointments begin, Monday to Friday."""
SATURDAY = 5
NOON = 12
AHEAD = timedelta(days=90)
REFUND_S = 4.0
"""How long the bank takes; the caller is told the result later in the same call."""


class Refused(Exception):
    """A request that is not done; the message is told to the caller by the model."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Answer:
    """HTTP status and body."""

    status: int
    body: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Request:
    """One function call inside of its transaction."""

    db: sqlite3.Connection
    key: str
    message_id: str
    number: str
    """Who calls."""
    arguments: Mapping[str, JsonValue]


class Order(BaseModel):
    order_id: str = Field(pattern=r"^[0-9]{3,8}$")


class Move(Order):
    address: str = Field(min_length=5, max_length=200)


class Day(BaseModel):
    date: Date


class Slot(Day):
    time: str = Field(pattern=r"^[0-2][0-9]:[0-5][0-9]$")


def carry_out(database: Database, call: FunctionCall, key: str, today: Date) -> Answer:
    """Do what a function call asks, or give the answer that the same call got before."""
    function = FUNCTIONS.get(call.data.tool.name)
    if function is None:
        return _refusal(404, "There is no such function")
    # Not the whole body: a repeated request has another `attempt` and `deadline_ms`.
    asked = json.dumps([call.data.tool.name, call.data.arguments], sort_keys=True)
    with database.transaction() as db:
        known = db.execute("SELECT asked, status, body FROM answers WHERE key = ?", (key,)).fetchone()
        if known is not None:
            same = known["asked"] == asked
            return (
                Answer(known["status"], json.loads(known["body"]))
                if same
                else _refusal(409, "Another request had this key")
            )
        try:
            request = Request(db, key, call.id, call.data.call.from_number, call.data.arguments)
            answer = function(request, today)
        except Refused as refusal:
            answer = _refusal(refusal.status, str(refusal))
        except ValidationError as error:
            answer = _refusal(422, f"{error.error_count()} of the arguments cannot be used")
        db.execute("INSERT INTO answers VALUES (?, ?, ?, ?)", (key, asked, answer.status, json.dumps(answer.body)))
    return answer


def customer_of(db: sqlite3.Connection, number: str) -> str | None:
    """Return the name of a customer, None for a stranger."""
    row = db.execute("SELECT name FROM customers WHERE number = ?", (number,)).fetchone()
    return None if row is None else str(row["name"])


# --- orders ---------------------------------------------------------------------------------------


def look_up_order(request: Request, today: Date) -> Answer:
    """Anybody who knows the number may hear how an order stands, and nothing else of it."""
    order = _order(request)
    return _result({"order_id": order["order_id"], "status": order["status"], "expected_arrival": order["arrives"]})


def change_address(request: Request, today: Date) -> Answer:
    move, order = Move.model_validate(request.arguments), _own_order(request)
    if order["status"] != "being packed":
        raise Refused(409, f"The address cannot be changed any more, the order is {order['status']}")
    request.db.execute("UPDATE orders SET address = ? WHERE order_id = ?", (move.address, move.order_id))
    return _result({"order_id": move.order_id, "address": move.address})


def cancel_order(request: Request, today: Date) -> Answer:
    order = _own_order(request)
    if order["status"] not in ("being packed", "cancelled"):
        raise Refused(409, f"It cannot be cancelled any more, the order is {order['status']}")
    request.db.execute("UPDATE orders SET status = 'cancelled' WHERE order_id = ?", (order["order_id"],))
    return _result({"order_id": order["order_id"], "status": "cancelled"})


def refund_order(request: Request, today: Date) -> Answer:
    """Takes the bank longer than a caller waits in silence: promised now (202), told when it is done (`late.py`)."""
    order = _own_order(request)
    if request.db.execute("SELECT 1 FROM refunds WHERE order_id = ?", (order["order_id"],)).fetchone():
        raise Refused(409, "This order has been refunded already")
    request.db.execute("INSERT INTO refunds VALUES (?, 'asked')", (order["order_id"],))
    request.db.execute(
        "INSERT INTO promises (message_id, key, order_id, due) VALUES (?, ?, ?, ?)",
        (request.message_id, request.key, order["order_id"], time.time() + REFUND_S),
    )
    return Answer(202, {"status": "pending"})


# --- appointments ---------------------------------------------------------------------------------


def find_times(request: Request, today: Date) -> Answer:
    day = Day.model_validate(request.arguments).date
    _must_be_open(day, today)
    return _result({"date": day.isoformat(), "free": list(_free(request.db, day))})


def book_appointment(request: Request, today: Date) -> Answer:
    slot = Slot.model_validate(request.arguments)
    if _appointment(request, today) is not None:
        raise Refused(409, "There is an appointment under this number already; it can be moved")
    _must_be_free(request.db, slot, today)
    request.db.execute("INSERT INTO appointments VALUES (?, ?, ?)", (slot.date.isoformat(), slot.time, request.number))
    return _booked(slot, "I have booked your appointment on")


def move_appointment(request: Request, today: Date) -> Answer:
    slot, old = Slot.model_validate(request.arguments), _own_appointment(request, today)
    _must_be_free(request.db, slot, today)
    request.db.execute(
        "UPDATE appointments SET date = ?, time = ? WHERE date = ? AND time = ?",
        (slot.date.isoformat(), slot.time, old["date"], old["time"]),
    )
    return _booked(slot, "I have moved your appointment to")


def cancel_appointment(request: Request, today: Date) -> Answer:
    old = _own_appointment(request, today)
    request.db.execute("DELETE FROM appointments WHERE date = ? AND time = ?", (old["date"], old["time"]))
    return _result({"date": old["date"], "time": old["time"], "status": "cancelled"})


FUNCTIONS: Mapping[str, Callable[[Request, Date], Answer]] = {
    "look_up_order": look_up_order,
    "change_address": change_address,
    "cancel_order": cancel_order,
    "refund_order": refund_order,
    "find_times": find_times,
    "book_appointment": book_appointment,
    "move_appointment": move_appointment,
    "cancel_appointment": cancel_appointment,
}


# --- what they share ------------------------------------------------------------------------------


def _result(result: Mapping[str, JsonValue]) -> Answer:
    return Answer(200, {"result": dict(result)})


def _refusal(status: int, message: str) -> Answer:
    return Answer(status, {"error": {"message": message}})


def _booked(slot: Slot, done: str) -> Answer:
    """`say` is spoken word for word: what must be right is better said by us than by a model."""
    hour, minute = (int(part) for part in slot.time.split(":"))
    clock = f"{(hour - 1) % 12 + 1}{f':{minute}' if minute else ''} in the {'morning' if hour < NOON else 'afternoon'}"
    result: dict[str, JsonValue] = {"date": slot.date.isoformat(), "time": slot.time, "status": "booked"}
    return Answer(200, {"result": result, "say": f"{done} {slot.date:%A, %B} {slot.date.day} at {clock}."})


def _order(request: Request) -> sqlite3.Row:
    order_id = Order.model_validate(request.arguments).order_id
    row: sqlite3.Row | None = request.db.execute("SELECT * FROM orders WHERE order_id = ?", (order_id,)).fetchone()
    if row is None:
        raise Refused(404, "There is no order with this number")
    return row


def _own_order(request: Request) -> sqlite3.Row:
    order = _order(request)
    if order["number"] != request.number:
        raise Refused(403, "This can only be done from the telephone number of the order")
    return order


def _appointment(request: Request, today: Date) -> sqlite3.Row | None:
    row: sqlite3.Row | None = request.db.execute(
        "SELECT * FROM appointments WHERE number = ? AND date >= ? ORDER BY date, time",
        (request.number, today.isoformat()),
    ).fetchone()
    return row


def _own_appointment(request: Request, today: Date) -> sqlite3.Row:
    found = _appointment(request, today)
    if found is None:
        raise Refused(404, "There is no appointment under this telephone number")
    return found


def _must_be_open(day: Date, today: Date) -> None:
    if day.weekday() >= SATURDAY:
        raise Refused(422, "There are appointments from Monday to Friday only")
    if not today < day <= today + AHEAD:
        raise Refused(422, "Appointments can be made from tomorrow on, for the next three months")


def _must_be_free(db: sqlite3.Connection, slot: Slot, today: Date) -> None:
    _must_be_open(slot.date, today)
    free = _free(db, slot.date)
    if slot.time not in free:
        near = ", ".join(free[:4]) or "no time"
        raise Refused(409, f"That time is not free. Free on that day: {near}")


def _free(db: sqlite3.Connection, day: Date) -> tuple[str, ...]:
    taken = {row["time"] for row in db.execute("SELECT time FROM appointments WHERE date = ?", (day.isoformat(),))}
    return tuple(one for one in TIMES if one not in taken)
