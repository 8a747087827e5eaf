"""What a key of a YAML file that nobody knows was probably meant to be."""

import difflib
from functools import lru_cache

from pydantic import BaseModel

__all__ = ["suggestion"]


def suggestion(key: str, model: type[BaseModel]) -> str:
    """Return "; did you mean 'heard'?", after the keys that the model and the models inside it know; or nothing."""
    close = difflib.get_close_matches(key, _keys(model), 1)
    return f"; did you mean {close[0]!r}?" if close and close[0] != key else ""


@lru_cache(maxsize=64)
def _keys(model: type[BaseModel]) -> tuple[str, ...]:
    schema = model.model_json_schema()
    parts = [schema, *schema.get("$defs", {}).values()]
    return tuple(sorted({key for part in parts for key in part.get("properties", {})}))
