"""What the network knows of one call, and the form fields made from it."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["CallFacts", "new_sid"]

API_VERSION = "2010-04-01"
FINAL = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})


@dataclass(slots=True)
class CallFacts:
    """One call; `status` moves from queued or ringing to one of the final ones."""

    call_sid: str
    account_sid: str
    to: str
    from_: str
    direction: str
    status: str
    caller_fields: Mapping[str, str] = field(default_factory=dict)
    parent_sid: str | None = None
    """The call whose `<Dial>` made this one."""

    @property
    def ended(self) -> bool:
        return self.status in FINAL

    def form(self, **more: str) -> dict[str, str]:
        """Return the fields of every voice webhook (Twilio, *Request parameters*)."""
        return {
            "CallSid": self.call_sid,
            "AccountSid": self.account_sid,
            "From": self.from_,
            "To": self.to,
            "Caller": self.from_,
            "Called": self.to,
            "CallStatus": self.status,
            "ApiVersion": API_VERSION,
            "Direction": self.direction,
            **({"ParentCallSid": self.parent_sid} if self.parent_sid is not None else {}),
            **self.caller_fields,
            **more,
        }


def new_sid(prefix: str, rng: random.Random) -> str:
    """Return a 34-character identifier: CA for calls, MZ for streams."""
    return f"{prefix}{rng.getrandbits(128):032x}"
