"""What a business may answer, read and bounded: our own reply form, errors, and promises of a later result.

    {"result": any JSON,
     "say"?: "words to be said as they are",
     "variables"?: {"name": any JSON},
     "action"?: {"type": "hang_up"} | {"type": "transfer", "target": "name"}}

An object that is not of this form is itself the result. A part that is wrong never loses the result: it is left out,
and the journal's detail says why.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from gateway.tools.catalogue import parse_json
from gateway.tools.request import ToolOutcome
from gateway.tools.sender import Answer

__all__ = [
    "IN_PROGRESS",
    "Reply",
    "business_error",
    "error_text",
    "json_body",
    "json_text",
    "plain_reply",
    "read_late",
    "read_promise",
    "read_reply",
]

MAX_ERROR_CHARS = 1000
"""Longest error text of a business that is passed on to the model."""
MAX_RESULT_CHARS = 24_000
"""Longest result that a model is given whole: some 6,000 tokens, which every turn that follows is billed for."""
CUT = "The answer is too long for a telephone call; this is its beginning."
MAX_SAY_CHARS = 1000
MAX_VARIABLES = 32
MAX_VARIABLES_BYTES = 4096
"""All variables of one reply as JSON."""
VARIABLE_NAME = re.compile(r"[a-zA-Z0-9_]{1,64}")
MAX_TARGET_CHARS = 64
PARTS = frozenset({"say", "variables", "action"})

IN_PROGRESS = (
    '{"status":"in progress","message":"The system is working on it and will send the result later. '
    'Tell the caller so, and go on talking. Do not call this again."}'
)
"""Told to the model for a 202."""

Action = Literal["hang_up", "transfer"]


@dataclass(slots=True, frozen=True)
class Reply:
    """A reply that could be read."""

    ok: bool
    output: str
    """JSON text for the model."""
    say: str = ""
    variables: Mapping[str, object] = field(default_factory=dict)
    action: Action | None = None
    target: str = ""
    notes: tuple[str, ...] = ()
    """What was left out, and why; no content."""
    pending: bool = False
    """The result comes later."""

    def outcome(self, detail: str) -> ToolOutcome:
        """Return it as the outcome of a function call; the notes join the detail."""
        return ToolOutcome(
            self.ok,
            self.output,
            "; left out: ".join([detail, ", ".join(self.notes)]) if self.notes else detail,
            pending=self.pending,
            say=self.say,
            variables=self.variables,
            action=self.action,
            target=self.target,
        )


def read_reply(document: object) -> Reply:
    """Read the JSON of a success. Raises `ValueError` for a result that cannot be written down again."""
    if not isinstance(document, dict):
        return plain_reply(document)
    parts = _Parts.read(document)
    if "result" in document:
        return parts.beside(plain_reply(document["result"]))
    if document.keys() <= PARTS and (parts.say or parts.variables or parts.action):
        return parts.beside(plain_reply(None))
    return plain_reply(document)


def plain_reply(result: object) -> Reply:
    """Return a success with this result and nothing beside it; of a long one, its beginning.

    Raises `ValueError` for one that cannot be written down again.
    """
    text = json_text(result)
    if len(text) <= MAX_RESULT_CHARS:
        return Reply(True, text)
    beginning = {"note": CUT, "beginning": text[:MAX_RESULT_CHARS]}
    return Reply(True, json_text(beginning), notes=(f"result (all after {MAX_RESULT_CHARS} characters)",))


def read_promise(answer: Answer) -> Reply:
    """Read a 202: the result comes later. Of its body only `say` and `variables` count, and none is needed."""
    try:
        document = json_body(answer)
    except ValueError:
        document = None
    parts = _Parts.read(document) if isinstance(document, dict) else _Parts()
    return Reply(True, IN_PROGRESS, parts.say, parts.variables, notes=tuple(parts.notes), pending=True)


def read_late(body: bytes) -> Reply:
    """Read the body of a result that comes later (`POST /v1/tool-results/…`). Raises `ValueError` when it is no use.

    The reply form, or {"error": {"message": …}} when it did not work after all: there is no status to say so.
    """
    document = parse_json(body)
    if isinstance(document, dict) and "error" in document and "result" not in document:
        return Reply(False, error_text(business_error(document) or "the system could not do it"))
    return read_reply(document)


def json_body(answer: Answer) -> object:
    """Return the JSON of an answer, None for an empty one. Raises `ValueError` with a short reason."""
    if not answer.body:
        return None
    encoding = answer.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise ValueError("the answer is compressed although identity was asked for")
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise ValueError("the answer is not application/json")
    return parse_json(answer.body)


def business_error(document: object) -> str:
    """Return the message of {"error": {"message": …}}, or of {"error": "…"}, cut; "" when there is none."""
    error = document.get("error") if isinstance(document, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    return message.strip()[:MAX_ERROR_CHARS] if isinstance(message, str) else ""


def json_text(value: object) -> str:
    """Return compact JSON as JavaScript writes it: only half surrogate pairs are escaped, which UTF-8 cannot hold.

    Raises `ValueError` for what is nested too deeply: writing needs a little more stack than parsing did.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return re.sub(r"[\ud800-\udfff]", lambda half: f"\\u{ord(half[0]):04x}", text)


def error_text(message: str) -> str:
    """Return an output that tells the model what went wrong."""
    return json_text({"error": {"message": message}})


@dataclass(slots=True)
class _Parts:
    """What stands beside the result, as far as it is usable."""

    say: str = ""
    variables: Mapping[str, object] = field(default_factory=dict)
    action: Action | None = None
    target: str = ""
    notes: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, document: Mapping[str, object]) -> "_Parts":
        parts = cls()
        readers: dict[str, Callable[[object], None]] = {
            "say": parts._say,
            "variables": parts._variables,
            "action": parts._action,
        }
        for name, read in readers.items():
            value = document.get(name)
            if value is None:
                continue
            try:
                read(value)
            except ValueError as wrong:
                parts.notes.append(f"{name} ({wrong})")
        return parts

    def beside(self, reply: Reply) -> Reply:
        """Return the reply with these parts beside its result."""
        return Reply(
            reply.ok,
            reply.output,
            self.say,
            self.variables,
            self.action,
            self.target,
            (*reply.notes, *self.notes),
        )

    def _say(self, value: object) -> None:
        if not isinstance(value, str):
            raise ValueError("not a text")
        if len(value) > MAX_SAY_CHARS:
            raise ValueError(f"over {MAX_SAY_CHARS} characters")
        # What is said goes to the model as text: half a surrogate pair cannot.
        self.say = value.encode(errors="replace").decode().strip()

    def _variables(self, value: object) -> None:
        if not isinstance(value, dict):
            raise ValueError("not an object")
        if len(value) > MAX_VARIABLES:
            raise ValueError(f"over {MAX_VARIABLES} names")
        if not all(VARIABLE_NAME.fullmatch(name) for name in value):
            raise ValueError(f"a name is not {VARIABLE_NAME.pattern}")
        if len(json_text(value).encode()) > MAX_VARIABLES_BYTES:
            raise ValueError(f"over {MAX_VARIABLES_BYTES} bytes")
        self.variables = value

    def _action(self, value: object) -> None:
        match value:
            case {"type": "hang_up"}:
                self.action = "hang_up"
            case {"type": "transfer", "target": str(target)} if 0 < len(target) <= MAX_TARGET_CHARS:
                self.action, self.target = "transfer", target
            case {"type": "transfer"}:
                raise ValueError("transfer needs a target")
            case {"type": _}:
                raise ValueError("its type is not hang_up or transfer")
            case _:
                raise ValueError("not an object with a type")
