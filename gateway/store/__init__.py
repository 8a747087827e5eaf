"""The rows of the store; the store itself is `gateway.store.store.Store`, which needs SQLAlchemy.

Kept apart so that naming a row type does not import a database library.
"""

from gateway.store.rows import (
    AttemptRow,
    CallChanges,
    CallEnd,
    CallRow,
    JournalEntry,
    JsonValue,
    StoredAttempt,
    StoredCall,
    StoreError,
)

__all__ = [
    "AttemptRow",
    "CallChanges",
    "CallEnd",
    "CallRow",
    "JournalEntry",
    "JsonValue",
    "StoreError",
    "StoredAttempt",
    "StoredCall",
]
