"""What is known of one operation once it is imported: all that a request needs beside the arguments."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from gateway.agents.outside import Auth

__all__ = ["Argument", "BodyKind", "Operation", "Spot", "Style"]


class Spot(Enum):
    """Where in the request an argument goes."""

    PATH = "path"
    QUERY = "query"
    HEADER = "header"
    FIELD = "field"
    """A property of the body."""
    BODY = "body"
    """The whole body."""


class Style(Enum):
    """How lists and objects are written (OpenAPI 3.1.0 §4.8.12.4)."""

    SIMPLE = "simple"
    FORM = "form"
    SPACE = "spaceDelimited"
    PIPE = "pipeDelimited"
    DEEP = "deepObject"
    JSON = "json"
    """As JSON text: parameters with `content` in place of `schema`."""


class BodyKind(Enum):
    """How the body is written."""

    JSON = "json"
    FORM = "form"
    """application/x-www-form-urlencoded."""


@dataclass(slots=True, frozen=True)
class Argument:
    """One argument of the function, and where it goes."""

    spot: Spot
    name: str
    """Its name in the request; the model's may differ."""
    style: Style = Style.FORM
    explode: bool = True


@dataclass(slots=True, frozen=True)
class Operation:
    """One operation; the `target` of its `CatalogueTool`."""

    operation_id: str
    method: str
    server: str
    """Address before the path, without a slash at its end."""
    path: str
    """Template with {name} for each path argument."""
    arguments: Mapping[str, Argument]
    """By the name the model knows."""
    body: BodyKind | None = None
    content_type: str = ""
    body_required: bool = False
    auth: Auth | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    sign: bool = True
    secret: str | None = None
    """Reference to the signing secret; None: the gateway's."""
