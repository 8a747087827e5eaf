"""How a simulated server behaves beyond what its engine says; also the `server:` part of a scenario file."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.simulator.model.ordered import OrderedRefusal

__all__ = ["ModelOptions"]


class ModelOptions(BaseModel):
    """Defaults are the live service's, as far as they are known."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = 0
    """Ids and delta sizes of session n come from (seed, n)."""
    api_key: str | None = None
    """The only bearer key (or Azure `api-key`) let in; None lets everyone in."""
    models: tuple[str, ...] = ("gpt-realtime*", "gpt-audio*", "local*")
    """Shell patterns of the model names served; others are closed with 4000. Azure deployments are free."""
    max_sessions: int = Field(default=1000, ge=1)
    """Open sessions; further upgrades get HTTP 503."""
    history: int = Field(default=1000, ge=1)
    """Session records kept in `ModelServer.sessions`."""
    keep_audio: bool = False
    """Keep the caller's audio in the record (`SessionRecord.caller.audio`), as it came, up to 64 MiB."""

    audio_factor: float = Field(default=6.0, gt=0, le=1000)
    """Audio is generated this many times faster than it plays."""
    delta_ms: tuple[int, int] = (100, 400)
    """Shortest and longest audio delta, in ms of speech."""
    ttfb_ms: float = Field(default=0.0, ge=0, le=60_000)
    """Median delay from `response.created` to the first item, log-normal; equal for equal seed, session and turn."""
    ttfb_sigma: float = Field(default=0.35, ge=0, le=2)
    """Spread of the delay: the standard deviation of its logarithm. 0 makes it always the median."""
    text_delta_ms: int = Field(default=0, ge=0, le=10_000)
    """Between two deltas of written text or of a function's arguments."""
    done_events: Literal["each", "batched"] = "each"
    """Whether the `.done` events of a response's items follow each item, or stand together before `response.done`."""
    cancel_ms: int = Field(default=0, ge=0, le=10_000)
    """How long a response goes on after speech started or after a `response.cancel`; it may complete meanwhile."""
    transcription_delay_ms: int = Field(default=150, ge=0, le=60_000)
    """From commit to the transcription events of a user turn."""
    late_deltas: int = Field(default=0, ge=0, le=100)
    """Audio deltas (100 ms each) that still arrive after `response.done` of a cancelled response, as far as the
    interrupted item has more audio."""
    late_delta_ms: int = Field(default=40, ge=0, le=10_000)
    """How long after `response.done` they arrive."""
    unannounced_done: bool = False
    """After each cancelled response, a `response.done` of one that was never announced."""
    rate_limits: Literal["before", "after", "never"] = "after"
    """Where `rate_limits.updated` stands relative to a response."""

    obfuscation: bool = False
    """Deltas carry an extra `obfuscation` field, as the service's may; clients must ignore it."""

    expires_s: float = Field(default=3600.0, gt=0)
    """A session's longest life."""
    epoch: int | None = None
    """Unix time at loop time 0, for `expires_at`; None takes the wall clock. Set it for repeatable traces."""
    refuse: tuple[OrderedRefusal, ...] = ()
    """Client events that each session refuses although nothing is wrong with them."""
    refuse_updates: int = Field(default=0, ge=0, le=10_000)
    """The first n `session.update` of each session are refused."""
    refuse_first: tuple[int, int] | None = None
    """(HTTP status, times): the server's first upgrades are refused so."""
    max_turn_s: float = Field(default=300.0, gt=0, le=3600)
    """The longest user turn kept; VAD ends it there, without VAD further audio is refused."""
    max_items: int = Field(default=2000, ge=1)
    """Conversation items of one session."""
    ping_s: float = Field(default=20.0, gt=0)
    """Interval of WebSocket pings."""
