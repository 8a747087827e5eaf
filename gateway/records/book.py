"""Everything that is written about one call while it lives: journal, recording, usage, cost, latency, the one end.

The owner shows it every event before the core takes it and every command before it is carried out. It never waits
and never raises; audio is only counted, and decoded only for a recording.
"""

import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal, Protocol, Unpack

from gateway.core.audio import AudioFormat, payload_ms
from gateway.core.commands import (
    AppendAudio,
    Command,
    ConfigureTurns,
    CreateResponse,
    Heard,
    InvokeTool,
    KeepSecret,
    OpenModel,
    PlayAudio,
    Record,
    StartTransfer,
)
from gateway.core.events import (
    AudioDelta,
    Briefed,
    CallerAudio,
    CallerSaid,
    Event,
    OperatorAsked,
    ResponseDone,
    SecretKept,
    SpeechStarted,
    SpeechStopped,
    Spent,
    StreamStarted,
    Tick,
    ToolResult,
    VoiceStarted,
    VoiceStopped,
)
from gateway.core.plan import TurnTaking
from gateway.errors import RemoteProtocolError
from gateway.records.audioclock import AudioClock
from gateway.records.bill import Bill, Dropped, Pricing
from gateway.records.cost import Cost, Usage
from gateway.records.journal import Journal
from gateway.records.latency import percentile
from gateway.records.recording import Recording
from gateway.records.tally import Functions, Tally
from gateway.store.rows import CallChanges, CallEnd, JournalEntry, JsonValue
from gateway.tokens import HIDDEN, TOKEN

__all__ = ["CallBook", "CallLog", "Pricing", "Summary"]

DEFAULT_TURNS = TurnTaking()
MOST_TOKENS = 64
"""Tokens of secrets that are looked for in what is written; nobody keys in more during one call."""


class CallLog(Protocol):
    """Where calls are written: the store, or a list in tests. Methods neither block nor raise."""

    def put(self, row: JournalEntry, /) -> None: ...

    def call_updated(self, call_id: str, **changes: Unpack[CallChanges]) -> None: ...

    def call_ended(self, end: CallEnd) -> None: ...


@dataclass(slots=True)
class Summary:
    """The figures of a finished call."""

    reason: str = ""
    detail: str = ""
    duration_s: float = 0.0
    turns_ms: list[int] = field(default_factory=list)
    """Voice-to-voice latency per turn: end of caller speech to the first audio sent to the carrier."""
    barge_ins: int = 0
    """Interruptions; each cut what was being said."""
    false_barge_ins: int = 0
    """Sounds of the caller that only paused the agent."""
    dropped: Dropped = field(default_factory=Dropped)
    """Early answers that nobody heard."""
    functions: Functions = field(default_factory=Functions)
    recoveries: int = 0
    usage: Usage = field(default_factory=Usage)
    cost_usd: Decimal | None = None
    cost: Cost | None = None


class CallBook:
    """The book of one call. `started_s` is the loop's time of the offer; the journal counts from it.

    `turns` is the turn-taking that the call begins with: the model's starts of speech are told with its padding.
    """

    def __init__(
        self,
        call_id: str,
        log: CallLog,
        pricing: Pricing,
        started_s: float,
        *,
        turns: TurnTaking = DEFAULT_TURNS,
        open_recording: Callable[[float, int], Recording] | None = None,
        on_end: Callable[[Summary], None] | None = None,
    ) -> None:
        self._call_id = call_id
        self._log = log
        self._started_s = started_s
        self._open_recording = open_recording
        self._on_end = on_end
        self._journal = Journal(call_id, log, started_s)
        self._recording: Recording | None = None
        self._audio = AudioFormat.PCMU
        self._answered = False
        self._bill = Bill(pricing)
        self._tally = Tally()
        self._summary = Summary()
        self._interrupted_s = -1.0
        self._heard_by_model = AudioClock()
        self._padding_ms = turns.prefix_padding_ms
        self._tokens: list[str] = []
        """What stands for secrets; whoever reads a journal must not be able to redeem it."""

    def event(self, event: Event, now: float) -> None:
        match event:
            case CallerAudio(payload):
                ms = payload_ms(payload, self._audio)
                self._journal.count_audio("CallerAudio", ms, now)
                if self._recording is not None:
                    self._recording.caller(now - ms / 1000, binascii.a2b_base64(payload), self._audio)
                return
            case AudioDelta(payload=payload):
                self._journal.count_audio("AudioDelta", payload_ms(payload, self._audio), now)
                return
            case Tick():
                return
            case StreamStarted(audio=audio):
                self._stream_started(audio, now)
            case SpeechStarted(item_id, start_ms):
                self._bill.turn_began(item_id, start_ms)
            case SpeechStopped(item_id, end_ms):
                self._bill.turn_ended(item_id, end_ms)
            case ResponseDone(usage=usage) | CallerSaid(usage=usage) if usage is not None:
                self._count(event, usage, now)
            case SecretKept(token=token) if token:
                self._hide([token])
            case Briefed(calls=calls):
                self._hide([token for call in calls for token in TOKEN.findall(f"{call.arguments} {call.output}")])
            case ToolResult():
                self._tally.answered(event)
        self._write("<", type(event).__name__, self._told(event), now)

    def command(self, command: Command, now: float) -> None:
        match command:
            case AppendAudio(payload):
                ms = payload_ms(payload, self._audio)
                self._heard_by_model.append(ms, now)
                self._journal.count_audio("AppendAudio", ms, now)
                return
            case OpenModel():
                self._heard_by_model.restart()
            case ConfigureTurns(turns):
                self._padding_ms = turns.prefix_padding_ms
            case InvokeTool(tool_call_id):
                self._tally.invoked(tool_call_id)
        self._write_command(command, now)

    def _write_command(self, command: Command, now: float) -> None:
        match command:
            case PlayAudio(item_id, _, ms):
                self._write(">", "PlayAudio", {"item_id": item_id, "ms": round(ms, 3)}, now)
            case Heard(item_id, payload, begins_s, ms):
                self._heard(payload, begins_s, ms)
                at_s = self._since_offer(begins_s)
                self._write(">", "Heard", {"item_id": item_id, "begins_s": at_s, "ms": round(ms, 3)}, now)
            case Record(kind, data):
                self._note(kind, data, now)
                self._write("=", kind, data, now)
            case CreateResponse(wish_id, instructions, tools):
                own = instructions is not None
                self._write(">", "CreateResponse", {"wish_id": wish_id, "own": own, "tools": tools}, now)
            case KeepSecret(secret_id):
                self._write(">", "KeepSecret", {"secret_id": secret_id}, now)
            case StartTransfer():
                shown = {name: value for name, value in asdict(command).items() if name != "number"}
                self._write(">", "StartTransfer", shown, now)
            case _:
                self._write(">", type(command).__name__, asdict(command), now)

    def spent(self) -> Spent | None:
        """Return the cost so far once after each change; None when it is unchanged or has no price."""
        if not self._bill.changed:
            return None
        self._bill.changed = False
        total = self._bill.price().total_usd
        return Spent(float(total)) if total is not None else None

    def end(self, reason: str, now: float) -> None:
        """Write the end record. Call once."""
        priced = self._bill.price()
        summary = self._summary
        summary.dropped = self._bill.price_of_dropped()
        summary.functions = self._tally.total()
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
                usage={**priced.to_json(), **summary.dropped.to_json()},
                cost_usd=priced.total_usd,
                latency=_latency(summary),
                recording_path=str(recording.path) if recording is not None and recording.written else None,
            )
        )
        if self._on_end is not None:
            self._on_end(summary)

    def _stream_started(self, audio: AudioFormat, now: float) -> None:
        self._audio = audio
        if self._answered:  # the caller has come back: one recording, at the rate it began with
            return
        self._answered = True
        self._log.call_updated(self._call_id, answered_at=datetime.now(UTC))
        if self._open_recording is not None:
            self._recording = self._open_recording(now, audio.rate_hz)

    def _heard(self, payload: str, begins_s: float, ms: float) -> None:
        if self._recording is not None:
            most = round(ms * self._audio.rate_hz / 1000) * self._audio.sample_bytes
            self._recording.agent(begins_s, binascii.a2b_base64(payload)[:most], self._audio)

    def _note(self, kind: str, data: object, now: float) -> None:
        self._tally.noted(kind, data)
        match kind, data:
            case "turn_latency", {"ms": int(ms)}:
                self._summary.turns_ms.append(ms)
            case "barge_in", _:
                # One interruption may cut several items; they are told in one step.
                self._summary.barge_ins += now != self._interrupted_s
                self._interrupted_s = now
            case "resumed", _:
                self._summary.false_barge_ins += 1
            case "early_dropped", {"response_id": str(response_id)}:
                self._bill.dropped(response_id)
            case "recover", _:
                self._summary.recoveries += 1
            case "end", {"detail": str(detail)}:
                self._summary.detail = detail

    def _count(self, event: ResponseDone | CallerSaid, usage: object, now: float) -> None:
        try:
            if isinstance(event, ResponseDone):
                self._bill.responded(event.response_id, usage)
            else:
                self._bill.transcribed(event.item_id, usage)
        except RemoteProtocolError as broken:
            self._write("=", "usage_refused", {"why": str(broken)}, now)

    def _told(self, event: Event) -> Mapping[str, JsonValue]:
        """Return an event as the journal keeps it."""
        match event:
            case SecretKept(secret_id, token):
                return {"secret_id": secret_id, "kept": bool(token)}
            case SpeechStarted(item_id, start_ms):
                began = self._heard_by_model.time_of(start_ms + self._padding_ms)
                known = {} if began is None else {"began_s": self._since_offer(began)}
                return {"item_id": item_id, "audio_start_ms": start_ms, **known}
            case VoiceStarted(at_s):
                return {"at_s": self._since_offer(at_s)}
            case VoiceStopped(ended_s):
                return {"ended_s": self._since_offer(ended_s)}
            case OperatorAsked(command_id, who, action):
                return {"command_id": command_id, "who": who, "action": type(action).__name__, **asdict(action)}
            case _:
                return asdict(event)

    def _hide(self, tokens: Sequence[str]) -> None:
        self._tokens = list(dict.fromkeys([*self._tokens, *tokens]))[-MOST_TOKENS:]

    def _since_offer(self, at_s: float) -> float:
        return round(at_s - self._started_s, 4)

    def _write(self, direction: Literal["<", ">", "="], kind: str, data: Mapping[str, JsonValue], now: float) -> None:
        if self._tokens:
            data = {name: _without(value, self._tokens) for name, value in data.items()}
        self._journal.add(direction, kind, data, now)


def _without(value: JsonValue, tokens: Sequence[str]) -> JsonValue:
    """Return a value with every token in it made unusable: a model hands them to functions, or says them."""
    match value:
        case str():
            for token in tokens:
                value = value.replace(token, HIDDEN)
            return value
        case Mapping():
            return {name: _without(part, tokens) for name, part in value.items()}
        case Sequence():
            return [_without(part, tokens) for part in value]
        case _:
            return value


def _latency(summary: Summary) -> dict[str, JsonValue]:
    """Return how the call went for the caller; `functions` is there only where one was called or claimed."""
    turns = summary.turns_ms
    figures: dict[str, JsonValue] = {
        "turns_ms": list(turns),
        "barge_ins": summary.barge_ins,
        "false_barge_ins": summary.false_barge_ins,
    }
    if summary.functions:
        figures["functions"] = summary.functions.to_json()
    return figures | {"p50_ms": percentile(turns, 50), "p95_ms": percentile(turns, 95)}
