"""What an API answered, as a result for the model or as the words of its error."""

import re
from collections.abc import Iterator, Mapping

from gateway.tools.replies import error_text, json_body, json_text
from gateway.tools.request import ToolOutcome
from gateway.tools.sender import Answer

__all__ = ["explanation", "outcome"]

MAX_RESULT_CHARS = 24_000
"""Longest result that a model is given: some 6,000 tokens, which it is billed for in every turn that follows."""
MAX_TEXT_BYTES = 8 * 1024
MAX_ERROR_CHARS = 1000
MAX_LISTED = 5
"""Errors of a list that are told."""
TOO_LONG = "the answer is too long for a telephone call; ask for less, such as fewer or more exactly described entries"


def outcome(answer: Answer, *, write: bool) -> ToolOutcome:
    """Return the outcome of a 2xx. Raises `ValueError` with a short reason for one that cannot be read."""
    detail = f"HTTP {answer.status}"
    if not answer.body:
        accepted = {"status": "accepted, but not done yet"} if answer.status == 202 else {}
        return ToolOutcome(True, json_text({"ok": True, **accepted}), detail)
    output = json_text(_plain_text(answer) if _kind(answer) == "text/plain" else json_body(answer))
    if len(output) > MAX_RESULT_CHARS:
        detail += f": over {MAX_RESULT_CHARS} characters"
        if write:  # it was done all the same, and must not look as if it had failed
            return ToolOutcome(True, json_text({"ok": True, "note": "done; the answer is too long to be told"}), detail)
        return ToolOutcome(False, error_text(TOO_LONG), detail)
    return ToolOutcome(True, output, detail)


def explanation(answer: Answer) -> str:
    """Return what a 4xx says, bounded; "" when it says nothing that can be told.

    Forms: plain text, problem details (RFC 9457: `title`, `detail`), `message`, `error` as text or object, `errors` or
    `detail` as a list, such as FastAPI's.
    """
    try:
        if answer.body and _kind(answer) == "text/plain":
            return _plain_text(answer).strip()[:MAX_ERROR_CHARS]
        document = json_body(answer)
    except ValueError:
        return ""
    parts = list(dict.fromkeys(_words(document)))
    return ": ".join(parts[:2] if isinstance(document, dict) and "title" in document else parts[:1])[:MAX_ERROR_CHARS]


def _kind(answer: Answer) -> str:
    return answer.headers.get("content-type", "").partition(";")[0].strip().lower()


def _plain_text(answer: Answer) -> str:
    if answer.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise ValueError("the answer is compressed although identity was asked for")
    if len(answer.body) > MAX_TEXT_BYTES:
        raise ValueError(f"the text is over {MAX_TEXT_BYTES // 1024} kB")
    charset = re.search(r'charset="?([\w-]+)', answer.headers.get("content-type", ""))
    try:
        return answer.body.decode(charset[1] if charset else "utf-8")
    except (LookupError, UnicodeDecodeError):
        raise ValueError("the text cannot be decoded") from None


def _words(document: object) -> Iterator[str]:
    """Yield what an error document says, the most telling first."""
    if not isinstance(document, Mapping):
        return
    for key in ("error", "title", "detail", "message", "error_description", "errors"):
        match document.get(key):
            case str(text) if text.strip():
                yield text.strip()
            case Mapping() as inner:
                yield from _words(inner)
            case list() as several if several:
                yield "; ".join(filter(None, map(_listed, several[:MAX_LISTED])))


def _listed(entry: object) -> str:
    if isinstance(entry, str):
        return entry.strip()
    if not isinstance(entry, Mapping):
        return ""
    where = entry.get("loc", entry.get("field", ""))
    path = ".".join(str(part) for part in where) if isinstance(where, list) else str(where)
    said = next((entry[key] for key in ("msg", "message", "detail", "title") if isinstance(entry.get(key), str)), "")
    return f"{path}: {said}" if path and said else said
