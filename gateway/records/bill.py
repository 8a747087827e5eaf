"""What a call owes to the model: usage by response, transcription by turn, and what of it bought nothing.

An early answer that was dropped has cost its tokens all the same. The drop and the usage come in either order, so both
are kept by response and joined at the end.
"""

from dataclasses import dataclass, field
from decimal import Decimal

from gateway.records.cost import Cost, Transcription, Usage, cost
from gateway.store.rows import JsonValue

__all__ = ["Bill", "Dropped", "Pricing"]

KEPT_TURNS = 64
"""Turns of the caller whose transcript may still come."""


@dataclass(frozen=True, slots=True)
class Pricing:
    """How the usage of a call is priced."""

    model: str
    price_as: str | None = None
    transcription_model: str = ""


@dataclass(frozen=True, slots=True)
class Dropped:
    """Early answers that nobody heard."""

    answers: int = 0
    output_tokens: int = 0
    """Those whose kind the API told; the figures of `response.done` come also for a cancelled response."""
    cost_usd: Decimal | None = Decimal(0)
    """Their whole usage, input included; None where the model has no price."""

    def to_json(self) -> dict[str, JsonValue]:
        found: dict[str, JsonValue] = {"dropped_answers": self.answers, "dropped_output_tokens": self.output_tokens}
        return found if self.cost_usd is None else found | {"dropped_cost_usd": f"{self.cost_usd:f}"}


@dataclass(slots=True)
class Bill:
    """Filled in while the call lives."""

    pricing: Pricing
    changed: bool = False
    """Whether there is usage that nobody has asked the price of; whoever asks resets it."""
    _usages: list[tuple[str, Usage]] = field(default_factory=list)
    _dropped: set[str] = field(default_factory=set)
    _turns: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Begin and end of the caller's turns, in ms of the session's audio."""
    _transcribed: list[Transcription] = field(default_factory=list)

    def responded(self, response_id: str, usage: object) -> None:
        """Take the usage of a response. Raises `RemoteProtocolError` for what is none."""
        self._usages.append((response_id, Usage.from_api(usage)))
        self.changed = True

    def dropped(self, response_id: str) -> None:
        """This response was dropped unheard, whether its usage has come or not."""
        self._dropped.add(response_id)

    def turn_began(self, item_id: str, start_ms: int) -> None:
        self._turns[item_id] = (start_ms, start_ms)
        while len(self._turns) > KEPT_TURNS:
            del self._turns[next(iter(self._turns))]

    def turn_ended(self, item_id: str, end_ms: int) -> None:
        start_ms, _ = self._turns.get(item_id, (end_ms, end_ms))
        self._turns[item_id] = (start_ms, end_ms)

    def transcribed(self, item_id: str, usage: object) -> None:
        """Take a transcription's usage. Counted in tokens it has no listed price; the length of the turn has one.

        Raises `RemoteProtocolError` for what is no usage.
        """
        start_ms, end_ms = self._turns.pop(item_id, (0, 0))
        seconds = Decimal(max(0, end_ms - start_ms)) / 1000
        model = self.pricing.transcription_model
        self._transcribed.append(Transcription.from_api(model, usage) or Transcription(model, seconds))
        self.changed = True

    def price(self) -> Cost:
        """Return what the call costs so far."""
        usages = [usage for _, usage in self._usages]
        return cost(self.pricing.model, usages, transcription=self._transcribed, price_as=self.pricing.price_as)

    def price_of_dropped(self) -> Dropped:
        """Return what of it went into answers that were dropped."""
        usages = [usage for response_id, usage in self._usages if response_id in self._dropped]
        priced = cost(self.pricing.model, usages, price_as=self.pricing.price_as)
        tokens = priced.usage.audio_out + priced.usage.text_out
        return Dropped(len(self._dropped), tokens, priced.total_usd)
