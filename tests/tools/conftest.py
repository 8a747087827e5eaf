"""The databases of the store's tests."""

from tests.store.conftest import postgres, url

__all__ = ["postgres", "url"]
