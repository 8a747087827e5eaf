"""The client's tools as the brain needs them, read from whatever JSON the client sent.

The input is hostile: every count and length is bounded, unknown shapes are passed over, and of a parameter's schema
only keywords without references are kept for checking values (patterns run on an engine without backtracking).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import jsonschema_rs

__all__ = ["Parameter", "Tool", "Value", "read_tools", "words_of_name"]

MAX_TOOLS = 128
MAX_PARAMETERS = 32
MAX_CHOICES = 64
MAX_TEXT = 1000
CHECKED = ("type", "pattern", "minLength", "maxLength", "minimum", "maximum", "multipleOf")

Value = str | int | float | bool | None


@dataclass(slots=True, frozen=True)
class Parameter:
    """One property of a tool's parameters."""

    name: str
    kind: str = "string"
    """JSON type; of several the first that is not null."""
    description: str = ""
    required: bool = False
    choices: tuple[str | int | float, ...] = ()
    format: str = ""
    default: Value = None
    rules: Mapping[str, str | int | float] = field(default_factory=dict)

    def fits(self, value: Value) -> bool:
        """Tell whether the value keeps the schema; a schema that cannot be used forbids nothing."""
        if not self.rules:
            return True
        try:
            validator = jsonschema_rs.Draft202012Validator(
                dict(self.rules), pattern_options=jsonschema_rs.RegexOptions(size_limit=1 << 20)
            )
            return validator.is_valid(value)
        except (ValueError, jsonschema_rs.ValidationError):
            return True

    @property
    def spoken(self) -> str:
        """What to call it when asking for it: "order number" for "The order number, digits only"."""
        first = re.split(r"[.,;:(\n]", self.description, maxsplit=1)[0].strip()
        first = re.sub(r"^(?:the|a|an|your|caller's|customer's|user's|their|which)\s+", "", first, flags=re.IGNORECASE)
        first = re.sub(r"^(?:the\s+)?(?:caller|customer|user)'s\s+", "", first, flags=re.IGNORECASE)
        if 0 < len(first.split()) <= 8:
            return first[0].lower() + first[1:]
        return " ".join("number" if word == "id" else word for word in words_of_name(self.name)) or "details"


@dataclass(slots=True, frozen=True)
class Tool:
    """One function the model may call."""

    name: str
    description: str = ""
    parameters: tuple[Parameter, ...] = ()


def read_tools(raw: Sequence[Mapping[str, object]]) -> list[Tool]:
    """Return the usable function tools; others (mcp, without a name) are left out."""
    tools = []
    for entry in raw[:MAX_TOOLS]:
        name = entry.get("name")
        if isinstance(name, str) and name and entry.get("type", "function") == "function":
            tools.append(Tool(name, _text(entry.get("description")), _parameters(entry.get("parameters"))))
    return tools


def words_of_name(name: str) -> list[str]:
    """Return the lower-case words of an identifier: "orderId", "order_id" and "order-id" give the same."""
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", name)]


def _parameters(schema: object) -> tuple[Parameter, ...]:
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    if not isinstance(schema, Mapping) or not isinstance(properties, Mapping):
        return ()
    listed = schema.get("required")
    required = {name for name in listed if isinstance(name, str)} if isinstance(listed, list) else set()
    return tuple(
        _parameter(str(name), one, str(name) in required)
        for name, one in list(properties.items())[:MAX_PARAMETERS]
        if isinstance(one, Mapping)
    )


def _parameter(name: str, schema: Mapping[str, object], required: bool) -> Parameter:
    kinds = schema.get("type", "string")
    kind = next((k for k in kinds if k != "null"), "string") if isinstance(kinds, list) else kinds
    default = schema.get("default", schema.get("const"))
    choices = schema.get("enum")
    return Parameter(
        name=name,
        kind=kind if isinstance(kind, str) else "string",
        description=_text(schema.get("description")),
        required=required,
        choices=tuple(c for c in choices[:MAX_CHOICES] if isinstance(c, str | int | float))
        if isinstance(choices, list)
        else (),
        format=_text(schema.get("format")),
        default=default if isinstance(default, str | int | float | bool) else None,
        rules={key: value for key in CHECKED if isinstance(value := schema.get(key), str | int | float)},
    )


def _text(value: object) -> str:
    return value[:MAX_TEXT] if isinstance(value, str) else ""
