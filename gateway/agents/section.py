"""What every section of the agents file has in common."""

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

__all__ = ["Section", "switch"]


class Section(BaseModel):
    """A part of the agents file: unknown keys are mistakes, and nothing changes once it is read."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


def switch(value: object, example: str = "") -> object:
    """Take true for a section with its defaults, false for none; `example` shows one to who wrote something else."""
    match value:
        case True:
            return {}
        case False | None:
            return None
        case Mapping() | Section():
            return value
        case _:
            raise ValueError("should be true, false, or a section" + (f" such as {example}" if example else ""))
