"""What a call brought: a text in chat, Responses and Realtime, content with a flag for errors in MCP.

An error of MCP is `{"error":{"message":"…"}}` elsewhere, which is how the gateway tells a model of one.
"""

import json
from collections.abc import Mapping

from gateway.realtime.convert.neutral import Json, Notes, listed, mapping, parse_object, string

__all__ = ["mcp_result", "output_of_mcp"]


def output_of_mcp(result: Mapping[str, object], notes: Notes) -> str:
    """Return an MCP `CallToolResult` as text. Structured content goes before the text that repeats it."""
    texts = _texts(result, notes)
    if result.get("_meta") is not None:
        notes.add("_meta cannot be carried over")
    structured = result.get("structuredContent")
    if len(texts) > 1 and (structured is None or result.get("isError") is True):
        notes.add("the parts of a result were joined")
    text = "\n".join(texts)
    if result.get("isError") is True:
        if structured is not None:
            notes.add("the structured content of an error cannot be carried over")
        return _compact({"error": {"message": text}})
    if structured is None:
        return text
    if len(texts) == 1 and parse_object(text) == structured:
        return text
    if text:
        notes.add("text beside structured content cannot be carried over")
    return _compact(structured)


def mcp_result(output: str) -> Json:
    """Return a text as an MCP `CallToolResult`: an error where it is one, and structured where it is a JSON object."""
    document = parse_object(output)
    error = mapping(document.get("error")) if document is not None else {}
    message = error.get("message")
    if isinstance(message, str) and output == _compact({"error": {"message": message}}):
        return {"content": [{"type": "text", "text": message}], "isError": True}
    result: Json = {"content": [{"type": "text", "text": output}], "isError": False}
    if document is not None:
        result["structuredContent"] = document
    return result


def _texts(result: Mapping[str, object], notes: Notes) -> list[str]:
    texts = []
    for block in map(mapping, listed(result.get("content"))):
        kind = string(block.get("type"))
        resource = mapping(block.get("resource"))
        if kind == "text":
            texts.append(string(block.get("text")))
        elif kind == "resource" and isinstance(resource.get("text"), str):
            notes.add("a resource is carried over as its text")
            texts.append(string(resource["text"]))
        else:
            notes.add(f"content of type {kind[:40]!r} cannot be carried over")
    return texts


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
