"""Operations of an OpenAPI document, chosen and turned into functions of the model."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import TypeAdapter, ValidationError

from gateway.agents.functions import BUILT_IN
from gateway.agents.imports import MAX_IMPORTED, OpenApi
from gateway.agents.outside import WebAddress
from gateway.agents.policy import ToolPolicy
from gateway.errors import ConfigError
from gateway.tools.catalogue import CatalogueTool, ToolKind, catalogue_tool
from gateway.tools.openapi.document import Document, Found, Place, mapping, open_document, text_of
from gateway.tools.openapi.operation import Operation
from gateway.tools.openapi.parameters import Form, ask
from gateway.tools.openapi.schemas import Unusable, shorten

__all__ = ["Imported", "Note", "load_operations", "read_operations"]

MAX_OPERATIONS = 2000
MAX_DESCRIPTION_CHARS = 1000
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
CALLED = {
    "get": ToolPolicy(effect="read"),
    "head": ToolPolicy(effect="read"),
    "put": ToolPolicy(effect="write", idempotent=True),
    "delete": ToolPolicy(effect="write", idempotent=True),
    "post": ToolPolicy(effect="write"),
    "patch": ToolPolicy(effect="write"),
}
"""Methods that are called, and what they promise (RFC 9110 §9.2.1, §9.2.2)."""


@dataclass(slots=True, frozen=True)
class Note:
    """Something about one operation that who writes the agents file should know."""

    operation: str
    text: str


@dataclass(slots=True, frozen=True)
class Imported:
    """What a document gave."""

    tools: tuple[CatalogueTool, ...]
    skipped: tuple[Note, ...]
    """Operations that are not offered although they were chosen, and why."""
    notes: tuple[Note, ...]
    """Parts of offered operations that are left out, and why."""


@dataclass(slots=True, frozen=True)
class _Entry:
    operation_id: str
    method: str
    path: str
    item: Found
    found: Found
    node: Mapping[str, object]
    tags: tuple[str, ...]


@dataclass(slots=True)
class _Result:
    tools: dict[str, CatalogueTool] = field(default_factory=dict)
    skipped: list[Note] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)


def load_operations(section: OpenApi, folder: Path) -> list[CatalogueTool]:
    """Return the functions that a section of the agents file asks for. `folder` is where the agents file is.

    Raises `ConfigError`, a sentence with document and JSON Pointer.
    """
    return list(read_operations(section, folder).tools)


def read_operations(section: OpenApi, folder: Path, *, server_needed: bool = True) -> Imported:
    """As `load_operations`, with what was left out. Without `server_needed` a document may name no address."""
    document = open_document(folder / section.document)
    entries = list(_entries(document))
    _check_names(section, document, entries)
    result = _Result()
    for entry in entries:
        if not section.offers(entry.operation_id, entry.tags):
            continue
        named = entry.operation_id in (section.operations or ()) or entry.operation_id in section.tools
        try:
            _import(section, document, entry, result, named=named, server_needed=server_needed)
        except Unusable as error:
            if named:
                raise ConfigError(f"{entry.found.place}: {entry.operation_id} cannot be called: {error}") from None
            result.skipped.append(Note(entry.operation_id, str(error)))
    if len(result.tools) > MAX_IMPORTED:
        raise ConfigError(
            f"{document.place}: gives {len(result.tools)} functions, and a model can be offered {MAX_IMPORTED}; "
            "choose with tags or operations"
        )
    offered = {tool.target.operation_id for tool in result.tools.values() if isinstance(tool.target, Operation)}
    result.notes += _credentials_note(section, document, [entry for entry in entries if entry.operation_id in offered])
    return Imported(tuple(result.tools.values()), tuple(result.skipped), tuple(result.notes))


def _import(
    section: OpenApi, document: Document, entry: _Entry, result: _Result, *, named: bool, server_needed: bool
) -> None:
    if entry.method not in CALLED:
        raise Unusable(f"{entry.method.upper()} is not called from a telephone call")
    if entry.node.get("deprecated") is True and not named:
        raise Unusable("it is deprecated; name it in operations to have it all the same")
    _check_answers(document, entry)
    form = ask(document, entry.path, entry.item, entry.found, _filled(section))
    if entry.method in ("get", "head") and form.body is not None:
        raise Unusable(f"{entry.method.upper()} with a body has no meaning (RFC 9110 §9.3.1)")
    try:
        policy = section.policy(entry.operation_id, CALLED[entry.method])
    except ConfigError as error:
        raise ConfigError(f"{entry.operation_id}: {error}") from None
    _check_fixed(policy, form, entry)
    own = section.tools.get(entry.operation_id)
    name = own.name if own is not None and own.name else _free_name(entry.operation_id, result.tools)
    if name in result.tools or name in BUILT_IN:
        raise ConfigError(f"{entry.found.place}: there are two functions {name!r}; give one of them another name")
    about = own.description if own is not None and own.description else _description(entry)
    try:
        server = _server(section, document, entry)
    except ConfigError:
        if server_needed:
            raise
        server = ""
    operation = Operation(
        operation_id=entry.operation_id,
        method=entry.method.upper(),
        server=server,
        path=entry.path,
        arguments=form.arguments,
        body=form.body,
        content_type=form.content_type,
        body_required=form.body_required,
        auth=section.auth,
        headers=section.headers,
        sign=section.sign,
        secret=section.secret,
    )
    try:
        tool = catalogue_tool(name, ToolKind.OPERATION, about, form.parameters(), policy, operation)
    except Unusable:
        raise
    except ConfigError as error:
        raise ConfigError(f"{entry.found.place}: {error}") from None
    result.tools[name] = tool
    result.notes += [Note(entry.operation_id, text) for text in form.notes]


def _entries(document: Document) -> Iterator[_Entry]:
    paths = mapping(document.root.get("paths", {}), document.place / "paths")
    seen: dict[str, Place] = {}
    for path, value in paths.items():
        if path.startswith("x-"):
            continue
        place = document.place / "paths" / path
        if not path.startswith("/") or "?" in path or "#" in path or not path.isprintable():
            raise ConfigError(f"{place}: a path begins with / and has no ? and no #")
        item = document.follow(value, place)
        node = mapping(*item)
        for method in METHODS:
            if method not in node:
                continue
            found = Found(node[method], item.place / method)
            entry = _entry(path, method, item, found)
            first = seen.setdefault(entry.operation_id, found.place)
            if first != found.place:
                raise ConfigError(f"{found.place}: the operationId {entry.operation_id!r} belongs to {first} already")
            if len(seen) > MAX_OPERATIONS:
                raise ConfigError(f"{document.place}: has more than {MAX_OPERATIONS} operations")
            yield entry


def _entry(path: str, method: str, item: Found, found: Found) -> _Entry:
    node = mapping(*found)
    operation_id = text_of(node, "operationId") or _made_id(method, path)
    tags = node.get("tags", [])
    if not isinstance(tags, list):
        raise ConfigError(f"{found.place / 'tags'}: must be a list")
    return _Entry(operation_id, method, path, item, found, node, tuple(str(tag) for tag in tags))


def _made_id(method: str, path: str) -> str:
    """Return an id for an operation without one: get_rooms_by_room_id."""
    words = re.sub(r"\{([^{}]*)\}", r"by_\1", path)
    return re.sub(r"[^a-zA-Z0-9]+", "_", f"{method}_{words}").strip("_")


def _check_names(section: OpenApi, document: Document, entries: list[_Entry]) -> None:
    """Refuse names that the document does not have: a misspelt one would quietly offer less, or more."""
    ids = {entry.operation_id for entry in entries}
    tags = {tag for entry in entries for tag in entry.tags}
    asked = (("operations", section.operations or ()), ("exclude", section.exclude), ("tools", section.tools))
    for key, names in asked:
        _known(f"{document.place}: {key}", "operation", names, ids)
    _known(f"{document.place}: tags", "tag", section.tags or (), tags)
    chosen = {entry.operation_id for entry in entries if section.offers(entry.operation_id, entry.tags)}
    for name in section.tools:
        if name not in chosen:
            raise ConfigError(f"{document.place}: tools: {name!r} is not among the operations that are offered")


def _known(where: str, kind: str, names: Iterable[str], known: set[str]) -> None:
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1, 0.5)
            listed = ", ".join(sorted(known)[:20]) or "none"
            hint = f"did you mean {close[0]!r}?" if close else f"there are: {listed}"
            raise ConfigError(f"{where}: there is no {kind} {name!r}; {hint}")


def _check_fixed(policy: ToolPolicy, form: Form, entry: _Entry) -> None:
    """Refuse fixed arguments that the operation does not have; other bounds are checked as for any tool."""
    for name, bound in policy.bounds.items():
        if bound.fixed is not None and name not in form.properties and name.split(".")[0] not in form.properties:
            close = difflib.get_close_matches(name, form.properties, 1, 0.5)
            hint = (
                f"did you mean {close[0]!r}?" if close else f"the arguments are: {', '.join(form.properties) or 'none'}"
            )
            raise ConfigError(f"{entry.found.place}: bounds: there is no argument {name!r}; {hint}")


def _free_name(operation_id: str, taken: Mapping[str, object]) -> str:
    stem = re.sub(r"[^a-zA-Z0-9_-]+", "_", operation_id).strip("_")[:64] or "operation"
    name, count = stem, 1
    while name in taken or name in BUILT_IN:
        count += 1
        name = f"{stem[:60]}_{count}"
    return name


def _description(entry: _Entry) -> str:
    summary, about = text_of(entry.node, "summary"), text_of(entry.node, "description")
    if not summary and not about:
        summary = text_of(mapping(*entry.item), "summary") or f"{entry.method.upper()} {entry.path}"
    if summary and about and not about.startswith(summary):
        summary = summary if summary.endswith((".", "!", "?")) else f"{summary}."
        return shorten(f"{summary} {about}", MAX_DESCRIPTION_CHARS)
    return shorten(about or summary, MAX_DESCRIPTION_CHARS)


def _filled(section: OpenApi) -> frozenset[str]:
    """Return what the agents file sets itself: lower-case header names, and query parameters with a ? before them."""
    names = {name.lower() for name in section.headers}
    if section.auth is not None and section.auth.name is not None:
        names.add(section.auth.name.lower() if section.auth.kind == "header" else f"?{section.auth.name}")
    return frozenset(names)


def _server(section: OpenApi, document: Document, entry: _Entry) -> str:
    """Return the address before the path. Raises `ConfigError` for one that cannot be called."""
    if section.server is not None:
        return _address(section.server, document.place)
    owners = (entry.found, entry.item, Found(document.root, document.place))
    for node, place in owners:
        servers = node.get("servers") if isinstance(node, Mapping) else None
        if isinstance(servers, list) and servers:
            where = place / "servers" / 0
            return _address(_filled_in(mapping(servers[0], where), where), where)
    raise ConfigError(f"{document.place}: names no server; set server")


def _filled_in(server: Mapping[str, object], place: Place) -> str:
    variables = mapping(server.get("variables", {}), place / "variables")

    def default(match: re.Match[str]) -> str:
        variable = variables.get(match[1])
        value = variable.get("default") if isinstance(variable, Mapping) else None
        if value is None:
            raise ConfigError(f"{place}: the variable {{{match[1]}}} has no default; set server")
        return str(value)

    return re.sub(r"\{([^{}]+)\}", default, text_of(server, "url"))


def _address(url: str, place: Place) -> str:
    if "://" not in url:
        raise ConfigError(f"{place}: the server {url[:200]!r} is relative; set server to the whole address")
    try:
        TypeAdapter(WebAddress).validate_python(url)
    except ValidationError as error:
        reason = error.errors(include_url=False, include_input=False)[0]["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{place}: the server {reason}") from None
    if urlsplit(url).query:
        raise ConfigError(f"{place}: the server must not have a query")
    return url.rstrip("/")


def _check_answers(document: Document, entry: _Entry) -> None:
    """Skip what can only answer with something that cannot be told, such as a PDF."""
    responses = entry.node.get("responses", {})
    kinds: list[str] = []
    for status, node in mapping(responses, entry.found.place / "responses").items():
        response = document.follow(node, entry.found.place / "responses" / status).node
        content = response.get("content") if isinstance(response, Mapping) else None
        if not status.startswith("2"):
            continue
        if not isinstance(content, Mapping) or not content:
            return
        kinds += [kind.partition(";")[0].strip().lower() for kind in content]
    if kinds and not any(kind == "text/plain" or kind.endswith(("json", "/*")) for kind in kinds):
        raise Unusable(f"it answers with {', '.join(kinds)[:200]}, which cannot be told")


def _credentials_note(section: OpenApi, document: Document, entries: Iterable[_Entry]) -> Iterator[Note]:
    """Yield a note when the document asks for credentials and the section names none."""
    names: set[str] = set()
    for entry in entries:
        asked = entry.node.get("security", document.root.get("security"))
        if isinstance(asked, list) and {} not in asked:
            names.update(name for choice in asked if isinstance(choice, Mapping) for name in choice)
    if names and section.auth is None:
        yield Note("*", f"the document asks for credentials ({', '.join(sorted(names))}), and the section has no auth")
