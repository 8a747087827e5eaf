"""What each response of a session has cost, from the server's own events."""

from typing import Any

__all__ = ["Spending"]


class Spending:
    """Give `watch` to a `ModelServer` as `on_event`."""

    def __init__(self) -> None:
        self.tokens: dict[str, tuple[int, int]] = {}
        """By response: (input, output)."""

    def watch(self, session_id: str, direction: str, event: dict[str, Any], at_s: float) -> None:
        """Take one event; only `response.done` counts."""
        if direction != "out" or event.get("type") != "response.done":
            return
        usage = event["response"].get("usage") or {}
        self.tokens[event["response"]["id"]] = (usage.get("input_tokens", 0), usage.get("output_tokens", 0))
