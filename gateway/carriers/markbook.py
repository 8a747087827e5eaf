"""Which marks a stream still owes. Pure."""

__all__ = ["MarkBook"]

MOST = 1000
"""Marks that may be pending; the play-out's lead keeps it near three."""


class MarkBook:
    """Every mark is resolved once: echoed, or dropped by a clear. What comes after that is late and means nothing.

    Carriers differ in what they do with marks that a clear has dropped (carriers notes §3.1): echo them all at once,
    echo none, or label them. Here they are resolved by the clear itself, whatever follows.
    """

    def __init__(self) -> None:
        self._pending: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._pending)

    def sent(self, name: str) -> None:
        """A mark was sent; the oldest is forgotten when there are too many."""
        self._pending[name] = None
        while len(self._pending) > MOST:
            del self._pending[next(iter(self._pending))]

    def echoed(self, name: str) -> bool:
        """Return whether this echo is news."""
        if name not in self._pending:
            return False
        del self._pending[name]
        return True

    def cleared(self) -> None:
        """A clear has dropped everything that was pending."""
        self._pending.clear()
