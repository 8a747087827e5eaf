"""Parameters and body of one operation, as one JSON Schema object and the place of each of its properties."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from gateway.agents.outside import HEADER_NAME, RESERVED_HEADERS, SECRET_NAMES
from gateway.errors import ConfigError
from gateway.tools.openapi.document import Document, Found, Place, mapping, text_of
from gateway.tools.openapi.operation import Argument, BodyKind, Spot, Style
from gateway.tools.openapi.schemas import MAX_DESCRIPTION_CHARS, Schema, SchemaWriter, Unusable, shorten

__all__ = ["Form", "ask"]

MAX_SCHEMA_CHARS = 20_000
"""All arguments of one function, as JSON; the session pays for each character in each turn."""
FORM_TYPE = "application/x-www-form-urlencoded"
STYLES = {
    Spot.PATH: (Style.SIMPLE,),
    Spot.HEADER: (Style.SIMPLE,),
    Spot.QUERY: (Style.FORM, Style.SPACE, Style.PIPE, Style.DEEP),
}
IGNORED_HEADERS = frozenset(("accept", "content-type", "authorization"))
"""Header parameters that mean nothing by OpenAPI 3.1.0 §4.8.12.2."""
OWN_HEADERS = frozenset(("idempotency-key", "traceparent", "tracestate", "user-agent"))
"""Header parameters that the gateway fills."""
PLAIN_HEADERS = frozenset(("accept-language",))
"""Header parameters that the model may fill although the gateway sets others of their kind."""
BODY_NAMES = ("body", "request_body", "json_body")
OBJECT_KEYS = frozenset(("type", "properties", "required", "title", "description", "additionalProperties"))


@dataclass(slots=True)
class Form:
    """What one operation asks for."""

    properties: dict[str, object] = field(default_factory=dict)
    required: list[str] = field(default_factory=list)
    arguments: dict[str, Argument] = field(default_factory=dict)
    body: BodyKind | None = None
    content_type: str = ""
    body_required: bool = False
    defs: dict[str, object] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    """What was left out, each a sentence."""

    def parameters(self) -> Schema:
        """Return the function's JSON Schema. Raises `Unusable`."""
        schema: Schema = {"type": "object", "properties": self.properties}
        if self.required:
            schema["required"] = self.required
        schema["additionalProperties"] = False
        if self.defs:
            schema["$defs"] = self.defs
        if len(json.dumps(schema, ensure_ascii=False)) > MAX_SCHEMA_CHARS:
            raise Unusable(f"its arguments take over {MAX_SCHEMA_CHARS} characters to describe")
        return schema

    def add(self, argument: Argument, schema: object, *, required: bool) -> None:
        """Add an argument under a name that is fit and free."""
        name = self.free_name(argument)
        self.properties[name] = schema
        self.arguments[name] = argument
        if required:
            self.required.append(name)

    def free_name(self, argument: Argument) -> str:
        """Return a name for the model; where it is taken, the place is added."""
        stem = fit(argument.name)
        if stem not in self.properties:
            return stem
        place = "body" if argument.spot is Spot.FIELD else argument.spot.value
        name, count = f"{stem[:56]}_{place}", 1
        while name in self.properties:
            count += 1
            name = f"{stem[:52]}_{place}_{count}"
        return name


def fit(name: str) -> str:
    """Return an argument's name as models are sure to take it."""
    return re.sub(r"[^a-zA-Z0-9_.-]+", "_", name).strip("_")[:64] or "value"


def ask(
    document: Document, path: str, path_item: Found, operation: Found, filled: frozenset[str] = frozenset()
) -> Form:
    """Return what an operation asks the model for.

    `filled` are the lower-case names of headers, and the names of query parameters, that the agents file sets. Raises
    `Unusable` for an operation that cannot be called from here, `ConfigError` for a document that is wrong.
    """
    form = Form()
    writer = SchemaWriter(document)
    expected = re.findall(r"\{([^{}/]+)\}", path)
    for parameter, place in _parameters(document, path_item, operation):
        name = text_of(parameter, "name")
        if parameter["in"] == "path" and name not in expected:
            form.notes.append(f"path parameter {name!r} is not in the path; left out")
            continue
        needed = parameter["in"] == "path" or parameter.get("required") is True
        try:
            _add_parameter(form, writer, parameter, place, filled)
        except Unusable as error:
            if needed:
                raise
            form.notes.append(f"{parameter['in']} parameter {name!r} is left out: {error}")
    known = {argument.name for argument in form.arguments.values() if argument.spot is Spot.PATH}
    missing = [name for name in expected if name not in known]
    if missing:
        raise ConfigError(f"{operation.place}: the path names {{{missing[0]}}}, which is no parameter")
    node = mapping(*operation)
    if "requestBody" in node:
        _add_body(form, writer, document, document.follow(node["requestBody"], operation.place / "requestBody"))
    form.defs = writer.defs
    return form


def _parameters(document: Document, path_item: Found, operation: Found) -> Iterator[tuple[Mapping[str, object], Place]]:
    """Yield the parameters by place: path, query, header, cookie. The operation's replace the path's."""
    found: dict[tuple[str, str], tuple[Mapping[str, object], Place]] = {}
    for owner in (path_item, operation):
        place = owner.place / "parameters"
        listed = mapping(*owner).get("parameters", [])
        if not isinstance(listed, list):
            raise ConfigError(f"{place}: must be a list")
        for index, item in enumerate(listed):
            node, where = document.follow(item, place / index)
            parameter = mapping(node, where)
            name, spot = text_of(parameter, "name"), text_of(parameter, "in")
            if not name or spot not in ("path", "query", "header", "cookie"):
                raise ConfigError(f"{where}: a parameter needs a name, and in: path, query, header or cookie")
            found[spot, name] = parameter, where
    for spot in ("path", "query", "header", "cookie"):
        yield from (entry for (kind, _), entry in found.items() if kind == spot)


def _add_parameter(
    form: Form, writer: SchemaWriter, parameter: Mapping[str, object], place: Place, filled: frozenset[str]
) -> None:
    name = text_of(parameter, "name")
    if parameter["in"] == "cookie":
        raise Unusable(f"{place}: cookies are not sent")
    spot = Spot(parameter["in"])
    if spot is Spot.HEADER and not _is_asked_header(form, name, place, filled):
        return
    if spot is Spot.QUERY and f"?{name}" in filled:
        return
    style, explode, node, where = _shape(spot, parameter, place)
    schema = writer.write(node, where)
    if isinstance(schema, bool):
        schema = {}
    _check_shape(schema, style, place, writer.defs)
    if (
        style is Style.FORM
        and explode
        and _types(schema) == {"object"}
        and schema.get("additionalProperties") is not True
    ):
        schema.setdefault("additionalProperties", False)  # its keys stand beside the other parameters
    about = text_of(parameter, "description")
    if about:
        schema = {**schema, "description": shorten(about, MAX_DESCRIPTION_CHARS)}
    required = spot is Spot.PATH or parameter.get("required") is True
    form.add(Argument(spot, name, style, explode), schema, required=required)


def _is_asked_header(form: Form, name: str, place: Place, filled: frozenset[str]) -> bool:
    """Tell whether the model fills it in. Raises `Unusable` for one that neither it nor we may fill."""
    lower = name.lower()
    if lower in filled or lower in IGNORED_HEADERS:
        return False
    if lower in OWN_HEADERS:
        if lower == "idempotency-key":
            form.notes.append(
                "takes an Idempotency-Key, which the gateway sends; set idempotent: true if it is honoured"
            )
        return False
    if lower in PLAIN_HEADERS:
        return True
    if not HEADER_NAME.fullmatch(name) or RESERVED_HEADERS.fullmatch(name):
        raise Unusable(f"{place}: the header {name[:64]!r} cannot be set")
    if SECRET_NAMES.fullmatch(name):
        raise Unusable(
            f"{place}: the header {name!r} looks like a secret, which no model fills in; use auth or headers"
        )
    return True


def _shape(spot: Spot, parameter: Mapping[str, object], place: Place) -> tuple[Style, bool, object, Place]:
    """Return style, explode and schema with its place."""
    content = parameter.get("content")
    if isinstance(content, Mapping):
        kinds = [kind for kind in content if _is_json(kind)]
        if not kinds or spot is not Spot.QUERY:
            raise Unusable(f"{place / 'content'}: parameters with content are supported as JSON in the query only")
        media = mapping(content[kinds[0]], place / "content" / kinds[0])
        return Style.JSON, False, media.get("schema", {}), place / "content" / kinds[0] / "schema"
    if "schema" not in parameter:
        raise ConfigError(f"{place}: a parameter needs a schema")
    default = Style.FORM if spot is Spot.QUERY else Style.SIMPLE
    said = parameter.get("style", default.value)
    style = next((style for style in STYLES[spot] if style.value == said), None)
    if style is None:
        raise Unusable(f"{place}: the style {str(said)[:40]!r} is not supported in the {spot.value}")
    explode = parameter.get("explode", style is Style.FORM)
    return style, explode is True or style is Style.DEEP, parameter["schema"], place / "schema"


def _check_shape(schema: Schema, style: Style, place: Place, defs: Mapping[str, object]) -> None:
    """Refuse what has no defined form outside of JSON. What cannot be told yet is refused when it is called."""
    if style is Style.JSON:
        return
    types = _types(schema)
    if "$ref" in schema or (style is Style.DEEP and types and "object" not in types):
        raise Unusable(f"{place}: this schema cannot be written as {style.value}")
    if "object" in types and style in (Style.SPACE, Style.PIPE):
        raise Unusable(f"{place}: an object cannot be written as {style.value}")
    properties = schema.get("properties")
    inside = [schema.get("items"), *(properties.values() if isinstance(properties, dict) else ())]
    for part in inside:
        if isinstance(part, dict) and ("$ref" in part or _types(part) & {"array", "object"}):
            raise Unusable(f"{place}: lists and objects inside of one another cannot be written as {style.value}")


def _types(schema: Schema) -> set[str]:
    kinds = schema.get("type")
    if isinstance(kinds, str):
        return {kinds}
    if isinstance(kinds, list):
        return {str(kind) for kind in kinds} - {"null"}
    return {"object"} if "properties" in schema else {"array"} if "items" in schema else set()


def _add_body(form: Form, writer: SchemaWriter, document: Document, found: Found) -> None:
    body, place = mapping(*found), found.place
    content = mapping(body.get("content", {}), place / "content")
    form.body_required = body.get("required") is True
    kind = _media_type(content)
    if kind is None:
        offered = ", ".join(str(name) for name in content)[:200] or "nothing"
        message = f"{place}: the body can be sent as JSON or as a form only, and it takes {offered}"
        if form.body_required:
            raise Unusable(message)
        form.notes.append(f"the body is left out: {message}")
        return
    media = mapping(content[kind], place / "content" / kind)
    where = place / "content" / kind / "schema"
    schema = writer.write(media.get("schema", {}), where)
    form.content_type = kind
    form.body = BodyKind.FORM if kind.partition(";")[0].strip().lower() == FORM_TYPE else BodyKind.JSON
    about = text_of(body, "description")
    plain = _resolved(schema, writer.defs)
    if form.body is BodyKind.FORM:
        _add_form_fields(form, plain, media, where)
    elif _is_flat(plain, form):
        _add_fields(form, plain)
    else:
        shown = schema if isinstance(schema, dict) else {}
        if about:
            shown = {**shown, "description": shorten(about, MAX_DESCRIPTION_CHARS)}
        name = next(name for name in BODY_NAMES if name not in form.properties)
        form.properties[name] = shown
        form.arguments[name] = Argument(Spot.BODY, name)
        if form.body_required:
            form.required.append(name)


def _add_fields(form: Form, schema: Schema) -> None:
    required = schema.get("required", [])
    for name, value in _properties(schema):
        form.add(Argument(Spot.FIELD, name), value, required=isinstance(required, list) and name in required)


def _add_form_fields(form: Form, schema: Schema, media: Mapping[str, object], place: Place) -> None:
    if not schema.keys() <= OBJECT_KEYS or "properties" not in schema or media.get("encoding"):
        raise Unusable(f"{place}: a form must be a plain object, without encoding")
    required = schema.get("required", [])
    for name, value in _properties(schema):
        if isinstance(value, dict):
            _check_shape(value, Style.FORM, place / "properties" / name, {})
            if "object" in _types(value):
                raise Unusable(f"{place / 'properties' / name}: an object inside a form is not supported")
        needed = form.body_required and isinstance(required, list) and name in required
        form.add(Argument(Spot.FIELD, name), value, required=needed)


def _properties(schema: Schema) -> Iterator[tuple[str, object]]:
    properties = schema.get("properties")
    yield from properties.items() if isinstance(properties, dict) else ()


def _resolved(schema: Schema | bool, defs: Mapping[str, object]) -> Schema:
    """Return the schema itself where it is one of `$defs`."""
    if not isinstance(schema, dict):
        return {}
    ref = schema.get("$ref")
    if isinstance(ref, str) and schema.keys() <= {"$ref", "title", "description"}:
        target = defs.get(ref.removeprefix("#/$defs/"))
        return target if isinstance(target, dict) else schema
    return schema


def _is_flat(schema: Schema, form: Form) -> bool:
    """Tell whether the body's properties can stand beside the parameters."""
    if not schema.keys() <= OBJECT_KEYS or schema.get("type", "object") != "object" or not schema.get("properties"):
        return False
    if not isinstance(schema.get("additionalProperties", True), bool):
        return False
    if schema.get("required") and not form.body_required:
        return False  # the body may be left out as a whole only
    names = [fit(name) for name, _ in _properties(schema)]
    return len(set(names)) == len(names) and not any(name in form.properties for name in names)


def _media_type(content: Mapping[str, object]) -> str | None:
    for accepts in (lambda kind: kind == "application/json", _is_json, lambda kind: kind == FORM_TYPE):
        for kind in content:
            if accepts(kind.partition(";")[0].strip().lower()):
                return kind
    return None


def _is_json(kind: str) -> bool:
    kind = kind.partition(";")[0].strip().lower()
    return kind == "application/json" or kind.endswith("+json")
