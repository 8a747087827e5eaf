"""What an MCP server answers, made into something a model can say on a telephone. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gateway.tools.catalogue import parse_json
from gateway.tools.replies import error_text, json_text

__all__ = ["Read", "read_result"]

MAX_OUTPUT_BYTES = 256 * 1024
MAX_ERROR_CHARS = 1000
NOT_ON_A_CALL = {
    "image": "(an image, which cannot be said on a phone call)",
    "audio": "(a recording, which cannot be played on a phone call)",
    "resource_link": "(a link to a document, which cannot be opened on a phone call)",
    "resource": "(a document, which cannot be read out on a phone call)",
}
TOO_LONG = "(it is done, and the system's answer is too long to be read)"


@dataclass(slots=True, frozen=True)
class Read:
    """An answer as the model is told it."""

    ok: bool
    output: str
    detail: str = "answered"


def read_result(result: Mapping[str, object], *, write: bool) -> Read:
    """Return what a `CallToolResult` of the wire says. Structured content goes before text; `isError` is an error.

    An answer over 256 kB is an error for a read; a write has been done all the same, and that is what is told.
    """
    texts = list(_texts(result.get("content")))
    if result.get("isError") is True:
        message = "\n".join(texts).strip()[:MAX_ERROR_CHARS]
        return Read(False, error_text(message or "the system could not do it"), "the tool reports an error")
    try:
        output = json_text(_value(result, texts))
    except ValueError as error:
        return _unread(write, str(error))
    if len(output.encode()) > MAX_OUTPUT_BYTES:
        return _unread(write, f"over {MAX_OUTPUT_BYTES} bytes")
    return Read(True, output)


def _unread(write: bool, reason: str) -> Read:
    if write:
        return Read(True, json_text(TOO_LONG), f"answered, not read: {reason}")
    return Read(False, error_text("the system's answer is too long"), f"not read: {reason}")


def _value(result: Mapping[str, object], texts: list[str]) -> object:
    if result.get("structuredContent") is not None:
        return result["structuredContent"]
    if len(texts) == 1 and texts[0][:1] in ("{", "["):
        try:
            return parse_json(texts[0])
        except ValueError:
            pass
    return "\n".join(texts)


def _texts(content: object) -> Iterator[str]:
    for block in content if isinstance(content, list) else ():
        if not isinstance(block, Mapping):
            continue
        kind = block.get("type")
        resource = block.get("resource")
        if kind == "text":
            yield str(block.get("text", ""))
        elif kind == "resource" and isinstance(resource, Mapping) and isinstance(resource.get("text"), str):
            yield str(resource["text"])
        else:
            yield NOT_ON_A_CALL.get(str(kind), "(something that cannot be said on a phone call)")
