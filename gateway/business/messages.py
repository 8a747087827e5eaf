"""What the gateway sends, as far as this business reads it. More fields may come: they are passed over."""

from typing import Annotated

from pydantic import BaseModel, Field, JsonValue

__all__ = ["Event", "FunctionCall", "Incoming", "TelephoneCall"]

Word = Annotated[str, Field(max_length=300)]


class TelephoneCall(BaseModel):
    """The call that a request is about."""

    id: Word
    from_number: Word = Field(default="", alias="from")
    """Who calls, E.164; "" when the number is withheld. Numbers can be forged: they open no bank account."""
    to_number: Word = Field(default="", alias="to")


class Tool(BaseModel):
    name: Word


class FunctionData(BaseModel):
    call: TelephoneCall
    tool: Tool
    arguments: dict[str, JsonValue]
    """As the model wrote them, checked against the schema in the agents file. Whose they are is ours to check."""


class FunctionCall(BaseModel):
    """A request to do something (`tool.call`)."""

    id: Word
    """Of the message: repeated requests have the same, and a late result is sent to it."""
    data: FunctionData


class AboutCall(BaseModel):
    call: TelephoneCall


class Incoming(BaseModel):
    """A question about a caller while it rings (`call.incoming`)."""

    id: Word
    data: AboutCall


class Event(BaseModel):
    """Something that happened (`call.started`, `transcript.turn`, `call.ended` …)."""

    id: Word
    type: Word
    timestamp: Word
    data: AboutCall
