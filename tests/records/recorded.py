"""A core whose journal is written, as the owner of a call has it written."""

from datetime import UTC, datetime

from gateway.core import Call, CallPlan
from gateway.core import commands as cmd
from gateway.core import events as ev
from gateway.records.book import CallBook, Pricing, Summary
from gateway.records.timeline import Line, Timeline, tell
from gateway.store import CallRow, JournalEntry, StoredCall
from gateway.store.memory import MemoryStore

__all__ = ["RecordedCall"]


class RecordedCall(Call):
    """Offered at 0, with the model's session there at 0.5; the stream is up from 1.0 on unless `stream` is False."""

    def __init__(self, plan: CallPlan, *, stream: bool = True) -> None:
        super().__init__(plan)
        self.store = MemoryStore()
        at = datetime(2026, 11, 22, 12, tzinfo=UTC)
        self.store.call_offered(CallRow("call_1", "twilio", "CA1", "inbound", "a", "+1", "+2", at))
        self.summaries: list[Summary] = []
        self.book = CallBook("call_1", self.store, Pricing("gpt-realtime"), 0.0, on_end=self.summaries.append)
        self.receive(ev.CallOffered(), 0.0)
        self.receive(ev.SessionReady("s"), 0.5)
        if stream:
            self.receive(ev.StreamStarted("MZ1"), 1.0)

    def receive(self, event: ev.Event, now: float) -> list[cmd.Command]:
        self.book.event(event, now)
        commands = super().receive(event, now)
        for command in commands:
            self.book.command(command, now)
        return commands

    def hang_up(self, now: float) -> Summary:
        """The caller does; return the figures."""
        self.receive(ev.LegEnded(ev.LegEnd.CALLER_HANGUP), now)
        self.book.end("caller_hangup", now)
        return self.summaries[-1]

    @property
    def journal(self) -> list[JournalEntry]:
        return self.store.journals["call_1"]

    @property
    def record(self) -> StoredCall:
        return self.store.calls["call_1"]

    def timeline(self) -> Timeline:
        return tell(None, self.journal)

    def lines(self, *kinds: str) -> list[Line]:
        """Return the lines of these kinds, or whose kinds begin with one that ends in an underscore."""
        begins = tuple(kind for kind in kinds if kind.endswith("_"))
        return [line for line in self.timeline().lines if line.kind in kinds or line.kind.startswith(begins)]

    def told(self, *kinds: str) -> list[tuple[float, str]]:
        return [(round(line.at_s, 2), line.what) for line in self.lines(*kinds)]
