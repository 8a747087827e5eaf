"""What our URLs at Vonage carry, so that every node can answer for a call: sealed, since they stand in logs.

Vonage signs the body of a webhook but not its URL, and its events name the leg they are about, not the caller's call.
"""

import base64
import hashlib
import json
from dataclasses import asdict, dataclass, replace

from cryptography.fernet import Fernet, InvalidToken

__all__ = ["Context", "Seal"]

MAX_SEALED = 2000


@dataclass(frozen=True, slots=True)
class Context:
    """One call, as our next instruction for it needs it."""

    call: str
    """Vonage's uuid of the caller's leg."""
    from_number: str
    to_number: str
    direction: str
    attempt_id: str = ""
    again: int = 0
    """How often the call has been offered again."""
    stream: str = ""
    """Which of the call's streams an event is about; "" for what is not about one."""
    ticket: str = ""
    """Of a transfer."""

    def but(self, *, again: int | None = None, stream: str = "", ticket: str = "") -> "Context":
        """Return the same call at another point."""
        return replace(self, again=self.again if again is None else again, stream=stream, ticket=ticket)


class Seal:
    """Encrypts and authenticates by a key that all nodes have."""

    def __init__(self, secret: str) -> None:
        key = hashlib.sha256(b"gateway vonage context\0" + secret.encode()).digest()
        self._fernet = Fernet(base64.urlsafe_b64encode(key))

    def close(self, context: Context) -> str:
        """Return it as a word for a URL."""
        return self._fernet.encrypt(json.dumps(asdict(context), separators=(",", ":")).encode()).decode()

    def open(self, sealed: str) -> Context | None:
        """Return what was sealed with our key; None for anything else."""
        if not sealed or len(sealed) > MAX_SEALED or not sealed.isascii():
            return None
        try:
            return Context(**json.loads(self._fernet.decrypt(sealed)))
        except (InvalidToken, ValueError, TypeError):
            # A version of ours that sealed other fields is not understood either.
            return None
