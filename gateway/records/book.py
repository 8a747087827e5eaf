"""Everything that is written about one call while it lives: journal, recording, usage, cost, latency, the one end.

The owner shows it every event before the core takes it and every command before it is carried out. It never waits
and never raises; audio is only counted, and decoded only for a recording.
"""

import binascii
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Protocol, Unpack

from gateway.core.audio import BYTES_PER_MS, payload_ms
from gateway.core.commands import AppendAudio, Command, CreateResponse, Heard, PlayAudio, Record
from gateway.core.events import (
    AudioDelta,
    CallerAudio,
    CallerSaid,
    Event,
    ResponseDone,
    SpeechStarted,
    SpeechStopped,
    Spent,
    StreamStarted,
    Tick,
)
from gateway.errors import RemoteProtocolError
from gateway.records.cost import Cost, Transcription, Usage, cost
from gateway.records.journal import Journal
from gateway.records.latency import percentile
from gateway.records.recording import Recording
from gateway.store.rows import CallChanges, CallEnd, JournalEntry, JsonValue

__all__ = ["CallBook", "CallLog", "Pricing", "Summary"]


class CallLog(Protocol):
    """Where calls are written: the store, or a list in tests. Methods neither block nor raise."""

    def put(self, row: JournalEntry, /) -> None: ...

    def call_updated(self, call_id: str, **changes: Unpack[CallChanges]) -> None: ...

    def call_ended(self, end: CallEnd) -> None: ...


@dataclass(frozen=True, slots=True)
class Pricing:
    """How the usage of a call is priced."""

    model: str
    price_as: str | None = None
    transcription_model: str = ""


@dataclass(slots=True)
class Summary:
    """The figures of a finished call."""

    reason: str = ""
    detail: str = ""
    duration_s: float = 0.0
    turns_ms: list[int] = field(default_factory=list)
    """Voice-to-voice latency per turn: end of caller speech to the first audio sent to the carrier."""
    barge_ins: int = 0
    recoveries: int = 0
    usage: Usage = field(default_factory=Usage)
    cost_usd: Decimal | None = None
    cost: Cost | None = None


class CallBook:
    """The book of one call. `started_s` is the loop's time of the offer; the journal counts from it."""

    def __init__(
        self,
        call_id: str,
        log: CallLog,
        pricing: Pricing,
        started_s: float,
        *,
        open_recording: Callable[[float], Recording] | None = None,
        on_end: Callable[[Summary], None] | None = None,
    ) -> None:
        self._call_id = call_id
        self._log = log
        self._pricing = pricing
        self._started_s = started_s
        self._open_recording = open_recording
        self._on_end = on_end
        self._journal = Journal(call_id, log, started_s)
        self._recording: Recording | None = None
        self._usages: list[Usage] = []
        self._turns = _Turns(pricing.transcription_model)
        self._summary = Summary()
        self._unpriced = False

    def event(self, event: Event, now: float) -> None:
        match event:
            case CallerAudio(payload):
                self._journal.count_audio("CallerAudio", payload_ms(payload), now)
                if self._recording is not None:
                    self._recording.caller(now - payload_ms(payload) / 1000, binascii.a2b_base64(payload))
                return
            case AudioDelta(payload=payload):
                self._journal.count_audio("AudioDelta", payload_ms(payload), now)
                return
            case Tick():
                return
            case StreamStarted():
                self._stream_started(now)
            case SpeechStarted(item_id, start_ms):
                self._turns.began(item_id, start_ms)
            case SpeechStopped(item_id, end_ms):
                self._turns.ended(item_id, end_ms)
            case ResponseDone(usage=usage) | CallerSaid(usage=usage) if usage is not None:
                self._count(event, usage, now)
        self._journal.add("<", type(event).__name__, asdict(event), now)

    def command(self, command: Command, now: float) -> None:
        match command:
            case AppendAudio(payload):
                self._journal.count_audio("AppendAudio", payload_ms(payload), now)
            case PlayAudio(item_id, _, ms):
                self._journal.add(">", "PlayAudio", {"item_id": item_id, "ms": round(ms, 3)}, now)
            case Heard(item_id, payload, begins_s, ms):
                self._heard(payload, begins_s, ms)
                at_s = round(begins_s - self._started_s, 4)
                self._journal.add(">", "Heard", {"item_id": item_id, "begins_s": at_s, "ms": round(ms, 3)}, now)
            case Record(kind, data):
                self._note(kind, data)
                self._journal.add("=", kind, data, now)
            case CreateResponse(wish_id, instructions):
                self._journal.add(">", "CreateResponse", {"wish_id": wish_id, "own": instructions is not None}, now)
            case _:
                self._journal.add(">", type(command).__name__, asdict(command), now)

    def spent(self) -> Spent | None:
        """Return the cost so far once after each change; None when it is unchanged or has no price."""
        if not self._unpriced:
            return None
        self._unpriced = False
        total = self._price().total_usd
        return Spent(float(total)) if total is not None else None

    def end(self, reason: str, now: float) -> None:
        """Write the end record. Call once."""
        priced = self._price()
        summary = self._summary
        summary.reason = reason
        summary.duration_s = now - self._started_s
        summary.usage, summary.cost, summary.cost_usd = priced.usage, priced, priced.total_usd
        recording = self._recording
        if recording is not None:
            recording.close(now)
        self._journal.close()
        self._log.call_ended(
            CallEnd(
                self._call_id,
                datetime.now(UTC),
                reason,
                round(summary.duration_s * 1000),
                end_detail=summary.detail,
                usage=priced.to_json(),
                cost_usd=priced.total_usd,
                latency=_latency(summary),
                recording_path=str(recording.path) if recording is not None and recording.written else None,
            )
        )
        if self._on_end is not None:
            self._on_end(summary)

    def _stream_started(self, now: float) -> None:
        self._log.call_updated(self._call_id, answered_at=datetime.now(UTC))
        if self._open_recording is not None:
            self._recording = self._open_recording(now)

    def _heard(self, payload: str, begins_s: float, ms: float) -> None:
        if self._recording is not None:
            self._recording.agent(begins_s, binascii.a2b_base64(payload)[: round(ms * BYTES_PER_MS)])

    def _note(self, kind: str, data: object) -> None:
        match kind, data:
            case "turn_latency", {"ms": int(ms)}:
                self._summary.turns_ms.append(ms)
            case "barge_in", _:
                self._summary.barge_ins += 1
            case "recover", _:
                self._summary.recoveries += 1
            case "end", {"detail": str(detail)}:
                self._summary.detail = detail

    def _count(self, event: ResponseDone | CallerSaid, usage: object, now: float) -> None:
        try:
            if isinstance(event, ResponseDone):
                self._usages.append(Usage.from_api(usage))
            else:
                self._turns.transcribed(event.item_id, usage)
            self._unpriced = True
        except RemoteProtocolError as broken:
            self._journal.add("=", "usage_refused", {"why": str(broken)}, now)

    def _price(self) -> Cost:
        pricing = self._pricing
        return cost(pricing.model, self._usages, transcription=self._turns.done, price_as=pricing.price_as)


class _Turns:
    """The caller's turns as they are billed by the transcription model."""

    KEPT = 64
    """Turns whose transcript may still come."""

    def __init__(self, model: str) -> None:
        self.done: list[Transcription] = []
        self._model = model
        self._ms: dict[str, tuple[int, int]] = {}

    def began(self, item_id: str, start_ms: int) -> None:
        self._ms[item_id] = (start_ms, start_ms)
        while len(self._ms) > self.KEPT:
            del self._ms[next(iter(self._ms))]

    def ended(self, item_id: str, end_ms: int) -> None:
        start_ms, _ = self._ms.get(item_id, (end_ms, end_ms))
        self._ms[item_id] = (start_ms, end_ms)

    def transcribed(self, item_id: str, usage: object) -> None:
        """Take a transcription's usage. Counted in tokens it has no listed price; the length of the turn has one."""
        start_ms, end_ms = self._ms.pop(item_id, (0, 0))
        seconds = Decimal(max(0, end_ms - start_ms)) / 1000
        self.done.append(Transcription.from_api(self._model, usage) or Transcription(self._model, seconds))


def _latency(summary: Summary) -> dict[str, JsonValue]:
    turns = summary.turns_ms
    figures: dict[str, JsonValue] = {"turns_ms": list(turns), "barge_ins": summary.barge_ins}
    return figures | {"p50_ms": percentile(turns, 50), "p95_ms": percentile(turns, 95)}
