"""Which media sockets may be opened: those whose upgrade brings a token that was given out within the last minute.

For carriers that present a value of ours at the upgrade and do not sign it. The same token then claims the call, once;
here it is only looked up, so that a stranger's socket is refused before it costs anything.
"""

import asyncio
import hashlib
from collections import OrderedDict

__all__ = ["UpgradeTokens"]

VALID_S = 60.0
"""As long as a call may be claimed by it."""
KEPT = 5000


class UpgradeTokens:
    """One carrier's. Tokens are kept as hashes, so that looking one up tells nothing by its time."""

    def __init__(self) -> None:
        self._until: OrderedDict[str, float] = OrderedDict()

    def add(self, token: str) -> None:
        """Let sockets in that bring this token, from now on; the oldest is forgotten when there are too many."""
        key = _hash(token)
        self._until.pop(key, None)
        self._until[key] = asyncio.get_running_loop().time() + VALID_S
        while len(self._until) > KEPT or next(iter(self._until.values())) < asyncio.get_running_loop().time():
            self._until.popitem(last=False)

    def knows(self, token: str) -> bool:
        """Tell whether this token was given out and is still good."""
        until = self._until.get(_hash(token))
        return until is not None and until >= asyncio.get_running_loop().time()


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
