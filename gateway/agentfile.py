"""Reads a YAML file into a pydantic model and reports every mistake with its place.

The subset of YAML that configuration needs: mappings with unique text keys, lists, scalars. Only `true`/`false` are
booleans and only plain decimal numbers are numbers, so that `no` stays a language and `+1415…` a telephone number
(YAML 1.1 makes them `False` and an integer). Tags are refused. Anchors work, but what they expand to is bounded:
eight lines of aliases can otherwise become a gigabyte.
"""

import difflib
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gateway.errors import ConfigError

__all__ = ["Loc", "Problem", "load"]

MAX_FILE_BYTES = 1024 * 1024
MAX_NODES = 50_000
MAX_DEPTH = 40
MAX_PROBLEMS = 100
"""A file with more mistakes than this is the wrong file."""

NULLS = ("", "~", "null", "Null", "NULL")
BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
FLOAT = re.compile(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,30})?([eE][-+]?[0-9]{1,3})?")

KINDS = {
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "should be keys with values"),
    **dict.fromkeys(("tuple_type", "list_type"), "should be a list"),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "should be a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "should be a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "should be true or false"),
    "string_type": "should be text; put it in quotes",
}
"""What pydantic's errors about types mean to who writes the file."""

Loc = tuple[int | str, ...]
"""Where in the document: keys and list positions from the root."""

ModelT = TypeVar("ModelT", bound=BaseModel)


class Problem(NamedTuple):
    """One mistake, at a place of the document."""

    loc: Loc
    message: str


class _Mark(NamedTuple):
    line: int
    column: int


def load(path: Path, model: type[ModelT], cross_check: Callable[[object], Iterable[Problem]]) -> ModelT:
    """Read, check and return the file. Raises `ConfigError`, one `file:line:column: sentence` per line, in order.

    `cross_check` gets the plain data, which may be wrong in any way, and names what concerns several places; the
    model may refuse such data too: its errors at the root are left to `cross_check`.
    """
    node = _compose(path, _read(path))
    document = _Document(path)
    data = document.plain(node, (), 0)
    problems = [*document.problems, *cross_check(data)]
    result = None
    try:
        result = model.model_validate(data)
    except ValidationError as error:
        told = {problem.loc for problem in problems}
        problems += [problem for problem in _problems(error, model) if problem.loc not in told]
    if problems or result is None:
        raise ConfigError("\n".join(document.report(problems)))
    return result


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    if len(raw) > MAX_FILE_BYTES:
        raise ConfigError(f"{path}: is over 1 MiB; this cannot be an agents file")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start})") from None


class _Loader(yaml.BaseLoader):
    """Composes nodes; the base loader gives plain scalars no type, which leaves the choice to us."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.depth += 1
        if self.depth > MAX_DEPTH:  # the composer recurses: a megabyte of "[" would exhaust the stack
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(None, None, f"is nested deeper than {MAX_DEPTH} levels", mark)
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


def _compose(path: Path, text: str) -> yaml.Node:
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        message = " ".join(part for part in (error.context, error.problem) if part)
        raise ConfigError(f"{where}: {message}") from None
    except yaml.YAMLError as error:  # a character YAML does not allow; it has an offset, not a mark
        raise ConfigError(f"{path}: is not YAML: {str(error).splitlines()[0]}") from None
    if node is None:
        raise ConfigError(f"{path}: is empty")
    return node


class _Document:
    """Turns nodes into plain data, remembering where each key and value stands."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.marks: dict[Loc, _Mark] = {}
        self.problems: list[Problem] = []
        self.nodes = 0

    def plain(self, node: yaml.Node, loc: Loc, depth: int) -> object:
        self.nodes += 1
        if self.nodes > MAX_NODES or depth > MAX_DEPTH:
            line, column = _mark(node)
            raise ConfigError(f"{self.path}:{line}:{column}: expands to too many values; use fewer aliases")
        self.marks.setdefault(loc, _mark(node))
        match node:
            case yaml.MappingNode() if node.tag == "tag:yaml.org,2002:map":
                return self._mapping(node, loc, depth)
            case yaml.SequenceNode() if node.tag == "tag:yaml.org,2002:seq":
                return [self.plain(child, (*loc, index), depth + 1) for index, child in enumerate(node.value)]
            case yaml.ScalarNode() if node.tag == "tag:yaml.org,2002:str":
                return _scalar(node)
            case _:
                self.problems.append(Problem(loc, f"the tag {node.tag} is not supported; write the value without it"))
                return None

    def _mapping(self, node: yaml.MappingNode, loc: Loc, depth: int) -> dict[str, object]:
        result: dict[str, object] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(Problem(loc, "a key must be plain text"))
                continue
            key = str(key_node.value)
            place = (*loc, key)
            if key in result:
                first = self.marks[place].line
                self.marks[(*place, "again")] = _mark(key_node)
                self.problems.append(Problem((*place, "again"), f"{key!r} is already set on line {first}"))
                continue
            self.marks[place] = _mark(key_node)
            result[key] = self.plain(value_node, place, depth + 1)
        return result

    def report(self, problems: Sequence[Problem]) -> Iterator[str]:
        placed = sorted({(self._find(problem.loc), problem.message) for problem in problems})
        for mark, message in placed[:MAX_PROBLEMS]:
            yield f"{self.path}:{mark.line}:{mark.column}: {message}"
        if len(placed) > MAX_PROBLEMS:
            yield f"{self.path}: and {len(placed) - MAX_PROBLEMS} more"

    def _find(self, loc: Loc) -> _Mark:
        """Return the mark of the deepest part of `loc` that is in the file; pydantic adds parts, such as union tags."""
        known: Loc = ()
        for part in loc:
            if (*known, part) in self.marks:
                known = (*known, part)
        return self.marks.get(known, _Mark(1, 1))


def _mark(node: yaml.Node) -> _Mark:
    return _Mark(node.start_mark.line + 1, node.start_mark.column + 1)


def _scalar(node: yaml.ScalarNode) -> object:
    text = str(node.value)
    if node.style is not None:  # quoted or block: text, whatever it looks like
        return text
    if text in NULLS:
        return None
    if text in BOOLEANS:
        return BOOLEANS[text]
    if INTEGER.fullmatch(text):
        return int(text)
    if FLOAT.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    return text


def _problems(error: ValidationError, model: type[BaseModel]) -> Iterator[Problem]:
    keys = _all_keys(model)
    details = error.errors(include_url=False, include_input=False)
    inside = {detail["loc"][:-1] for detail in details}
    for detail in details:
        loc = detail["loc"]
        if not loc and detail["type"] == "cross_check":
            continue
        if detail["type"] == "too_short" and loc in inside:
            continue  # pydantic counts the sound entries only
        name = _name(loc)
        match detail["type"]:
            case "extra_forbidden":
                message = f"unknown key {name!r}{_suggestion(name, keys)}"
            case "missing":
                message = f"{name!r} is missing"
            case "union_tag_not_found":
                message = "'type' is missing"
            case _:
                message = f"{name}: {_words(detail)}"
        yield Problem(loc, message)


def _words(detail: ErrorDetails) -> str:
    """Return what is wrong with a value in the file's own terms; pydantic speaks of Python's."""
    context = detail.get("ctx", {})
    match detail["type"]:
        case "string_too_short":
            return "should not be empty"
        case "string_too_long":
            return f"should have at most {context['max_length']} characters"
        case "too_short":
            return "should have at least one entry"
        case "too_long":
            return f"should have at most {context['max_length']} entries"
        case "union_tag_invalid":
            return f"type should be one of {context['expected_tags']}"
        case "literal_error":
            return f"should be {context['expected']}".replace("False", "false")
        case kind if kind in KINDS:
            return KINDS[kind]
        case _:
            return re.sub("^(Input|String) should", "should", detail["msg"].removeprefix("Value error, "))


def _name(loc: Loc) -> str:
    match loc:
        case (*_, key, "[key]"):  # so pydantic marks a fault of the key itself
            return repr(key)
        case (*_, str(key), int(index)):
            return f"{key}[{index}]"
        case (*_, last):
            return str(last)
        case _:
            return "the document"


def _suggestion(name: str, keys: Sequence[str]) -> str:
    if name in keys:
        return " here; it belongs to another section"
    close = difflib.get_close_matches(name, keys, 1, 0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


def _all_keys(model: type[BaseModel]) -> list[str]:
    """Return every key the model and the models inside it know."""
    schema = model.model_json_schema()
    parts = [schema, *schema.get("$defs", {}).values()]
    return sorted({key for part in parts for key in part.get("properties", {})})
