"""Functions that are answered by a webhook of the business."""

from collections.abc import Mapping
from typing import Any, Literal, Self

import jsonschema_rs
from pydantic import Field, field_validator, model_validator

from gateway.agents.functions import BUILT_IN
from gateway.agents.outside import Headers, SecretRef, WebAddress
from gateway.agents.policy import ToolPolicy

__all__ = ["Tool"]

MAX_LISTED = 20
"""Arguments that a refusal names."""


class Tool(ToolPolicy):
    """A function the model may call, answered by a webhook of the business."""

    name: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")
    """Name the model calls it by, unique within the agent."""
    description: str = Field(min_length=1, max_length=4000)
    """When to use it and what it returns: all the model knows about it."""
    parameters: dict[str, Any] = Field(default_factory=lambda: {"type": "object", "properties": {}})
    """JSON Schema of the arguments; they are checked against it before the webhook is called."""
    url: WebAddress
    """Where the signed POST goes. https; http only to loopback (development) or allow-listed private networks."""
    secret: SecretRef | None = None
    """Reference to the signing secret, env:NAME or file:/path, never the secret; null: GATEWAY_WEBHOOK_SECRET."""
    format: Literal["gateway", "vapi", "retell", "raw"] = "gateway"
    """Form of request and answer: ours, or that of a server written for another platform; raw: the arguments alone."""
    headers: Headers = Field(default_factory=dict)
    """Additional request headers; no secrets, requests are signed."""

    @field_validator("name")
    @classmethod
    def _not_built_in(cls, value: str) -> str:
        if value in BUILT_IN:
            raise ValueError(f"{value!r} is built in; choose another name")
        return value

    @field_validator("parameters")
    @classmethod
    def _valid_schema(cls, value: dict[str, Any]) -> dict[str, Any]:
        if value.get("type") != "object":
            raise ValueError("must be a JSON Schema with type: object")
        try:
            jsonschema_rs.validator_for(value, offline=True)
        except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
            raise ValueError(f"is not a valid JSON Schema: {str(error).splitlines()[0]}") from None
        return value

    @model_validator(mode="after")
    def _bounds_name_arguments(self) -> Self:
        for name, bound in self.bounds.items():
            if bound.fixed is None and not _described(self.parameters, name):
                known = self.parameters.get("properties")
                listed = ", ".join(sorted(map(str, known))[:MAX_LISTED]) if isinstance(known, Mapping) else ""
                raise ValueError(f"bounds: there is no argument {name!r}; the arguments are: {listed or 'none'}")
        return self


def _described(schema: object, name: str) -> bool:
    """Tell whether a schema has this argument, or one inside another; an argument may have a dot in its own name."""
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    if not isinstance(properties, Mapping):
        return False
    outer, _, inner = name.partition(".")
    return name in properties or (bool(inner) and _described(properties.get(outer), inner))
