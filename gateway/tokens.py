"""What stands for secrets that callers have keyed in, and how it is kept out of what is written.

A token is all that the model, the journal and the business see of such digits; who holds it and an API key may redeem
it (`gateway.vault`). So it is written nowhere where it could be read later.
"""

import re

__all__ = ["HIDDEN", "TOKEN", "TOKEN_PREFIX", "without_tokens"]

TOKEN_PREFIX = "vault_"
TOKEN = re.compile(r"vault_[A-Za-z0-9_-]{16,}")
HIDDEN = "[token]"
"""Stands for a token where it was left out."""


def without_tokens(text: str) -> str:
    """Return a text with every token in it made unusable."""
    return TOKEN.sub(HIDDEN, text)
