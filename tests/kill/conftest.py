"""The databases that a killed gateway leaves its word in."""

from tests.store.conftest import postgres, url

__all__ = ["postgres", "url"]
