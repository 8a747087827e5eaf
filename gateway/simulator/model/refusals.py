"""What the server does not do, as the API's `error` object says it (protocol notes §5.6)."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

__all__ = ["Refused", "refusal"]

ECHO_LIMIT = 80
"""Characters of a client's own value repeated in a message."""


class Refused(Exception):
    """A client event was refused: nothing of it took effect and the session goes on."""

    def __init__(
        self, code: str | None, message: str, param: str | None = None, *, kind: str = "invalid_request_error"
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param
        self.kind = kind


def refusal(error: ValidationError, value: object, prefix: str = "") -> Refused:
    """Return the first fault of a validation in the API's words; `value` is what was validated."""
    fault = error.errors(include_url=False)[0]
    param = _path(fault, value, prefix)
    match fault["type"]:
        case "missing":
            return Refused("missing_required_parameter", f"Missing required parameter: '{param}'.", param)
        case "union_tag_not_found":
            param = f"{param}.type".lstrip(".")
            return Refused("missing_required_parameter", f"Missing required parameter: '{param}'.", param)
        case "extra_forbidden":
            return Refused("unknown_parameter", f"Unknown parameter: '{param}'.", param)
        case "union_tag_invalid":
            expected = str(fault.get("ctx", {}).get("expected_tags", ""))
            return Refused("invalid_value", f"Invalid value for '{param}'. Supported values are: {expected}.", param)
        case "literal_error":
            expected = str(fault.get("ctx", {}).get("expected", ""))
            return Refused("invalid_value", f"Invalid value: {_echo(fault)}. Supported values are: {expected}.", param)
        case _:
            return Refused("invalid_value", f"Invalid value for '{param}': {fault['msg']}.", param)


def _path(fault: ErrorDetails, value: object, prefix: str) -> str:
    """The parameter's path; pydantic's location also names union branches, which exist in no input."""
    path, node = prefix, value
    for step in fault["loc"]:
        match node, step:
            case Mapping(), str() if step in node:
                path, node = f"{path}.{step}", node[step]
            case Sequence(), int() if not isinstance(node, str) and step < len(node):
                path, node = f"{path}[{step}]", node[step]
    if fault["type"] == "missing":
        path = f"{path}.{fault['loc'][-1]}"
    return path.lstrip(".")[:ECHO_LIMIT]


def _echo(fault: ErrorDetails) -> str:
    given: Any = fault["input"]
    return repr(given)[:ECHO_LIMIT]
