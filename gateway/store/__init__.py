"""The rows of the store; the store itself is `gateway.store.store.Store`, which needs SQLAlchemy.

Kept apart so that naming a row type does not import a database library.
"""

from gateway.store.rows import (
    AttemptRow,
    CallbackRow,
    CallChanges,
    CallEnd,
    CallRow,
    DeliveryRow,
    InvocationRow,
    JournalEntry,
    JsonValue,
    StoredAttempt,
    StoredCall,
    StoredCallback,
    StoredDelivery,
    StoredInvocation,
    StoreError,
)

__all__ = [
    "AttemptRow",
    "CallbackRow",
    "CallChanges",
    "CallEnd",
    "CallRow",
    "DeliveryRow",
    "InvocationRow",
    "JournalEntry",
    "JsonValue",
    "StoredAttempt",
    "StoredCall",
    "StoredCallback",
    "StoredDelivery",
    "StoredInvocation",
    "StoreError",
]
