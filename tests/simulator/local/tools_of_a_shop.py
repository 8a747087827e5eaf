"""Tools as clients send them, used by the tests of the matcher and the brain."""

from collections.abc import Mapping
from typing import Any


def function(name: str, description: str, required: list[str], /, **properties: Any) -> Mapping[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": required}
    return {"type": "function", "name": name, "description": description, "parameters": parameters}


DATE = {"type": "string", "format": "date", "description": "The day"}
ORDER_STATUS = function(
    "get_order_status",
    "Look up the status of an order by its number.",
    ["order_id"],
    order_id={"type": "string", "description": "The order number, digits only"},
)
BOOK = function(
    "book_appointment",
    "Book an appointment for the caller.",
    ["date", "time"],
    date=DATE,
    time={"type": "string", "description": "Time of day, HH:MM"},
    party_size={"type": "integer"},
    name={"type": "string"},
)
CANCEL = function("cancel_appointment", "Cancel an existing appointment.", ["date"], date=DATE)
MOVE = function(
    "reschedule_appointment",
    "Move an appointment to another day.",
    ["old_date", "new_date"],
    old_date=DATE,
    new_date=DATE,
)
INVOICE = function(
    "send_invoice_copy",
    "Send a copy of an invoice by email.",
    ["email"],
    email={"type": "string", "format": "email", "description": "Your email address"},
)
TRANSFER = function("transfer_to_human", "Transfer the call to a person.", ["reason"], reason={"type": "string"})
HANG_UP = function("hang_up", "End the call.", [])
SHOP = [ORDER_STATUS, BOOK, CANCEL, MOVE, INVOICE, TRANSFER, HANG_UP]
