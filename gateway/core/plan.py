"""What the core is told about the agent and the limits of one call. Plain values: the core knows no settings file."""

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["CallPlan"]


@dataclass(slots=True, frozen=True)
class CallPlan:
    """Fixed when the call is offered; a changed agents file never changes a running call."""

    instructions: str = ""
    """The session's instructions; a response's own instructions replace them, so they are said again there."""
    greeting: str | None = None
    """Said exactly, as the first words; None lets the caller speak first."""
    goodbye: str = "Say one short, friendly goodbye in the language of the call, and nothing else."
    """How to ask for the last words when the agent hangs up without having said any."""
    silence_ms: int = 500
    """How much silence the model's turn detection waits for; subtracted to find the end of speech."""
    tool_deadline_s: Mapping[str, float] = field(default_factory=dict)
    """Longest wait per tool, in seconds; after it the model gets an error."""
    default_tool_deadline_s: float = 10.0
    hang_up: bool = True
    """Whether the model was offered the built-in hang_up."""
    max_duration_s: float = 1800.0
    max_cost_usd: float | None = None
    lead_ms: float = 400.0
    """How far audio may run ahead of the caller's ear."""
    start_s: float = 15.0
    """From the offer to the start of the media stream."""
    connect_s: float = 5.0
    """From the start of the stream to a ready model: silence for the caller."""
    recover_s: float = 3.0
    """From the loss of the model to a ready new session."""
    answer_s: float = 10.0
    """From the end of caller speech, or from our asking, to the model's first sign of an answer."""
