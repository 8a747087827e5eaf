"""What the parts of one session share: who it is, how it is configured, and the way to the client."""

import asyncio
import json
import math
import time
from collections.abc import Coroutine
from random import Random

from gateway.simulator.engine import Engine
from gateway.simulator.model.config import SessionConfig
from gateway.simulator.model.conversation import Conversation, Item
from gateway.simulator.model.options import ModelOptions
from gateway.simulator.model.ordered import OrderedRefusal, OrderedRefusals
from gateway.simulator.model.outbox import Outbox
from gateway.simulator.model.received import Refusal
from gateway.simulator.model.record import Observer, SessionRecord
from gateway.simulator.model.refusals import Refused
from gateway.simulator.model.shapes import Json
from gateway.simulator.model.usage import Meter

__all__ = ["EXPIRED", "Ids", "SessionState", "Tasks"]

EXPIRED = "Your session hit the maximum duration of 60 minutes."
MAX_FIRST_BYTE_MS = 60_000.0


class Ids:
    """Identifiers of one session: unique, and equal for equal seeds."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        """The session's only source of chance."""
        self._events = 0
        self._tag = f"{rng.getrandbits(32):08x}"

    def new(self, prefix: str) -> str:
        return f"{prefix}_{self._tag}{self.rng.getrandbits(52):013x}"

    def event(self) -> str:
        self._events += 1
        return f"event_{self._tag}{self._events:08d}"


class Tasks:
    """A session's work in progress: started in its group, cancelled with it."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._running: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = self._group.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    def cancel(self) -> None:
        for task in tuple(self._running):
            task.cancel()


class SessionState:
    """One session's shared state. Emitting is synchronous, so events keep the order of what they tell."""

    def __init__(
        self,
        engine: Engine,
        options: ModelOptions,
        tasks: Tasks,
        *,
        model: str,
        number: int,
        observer: Observer | None = None,
    ) -> None:
        now = asyncio.get_running_loop().time()
        self.engine = engine
        self.options = options
        self._seed = f"{options.seed}:{number}"
        self.ids = Ids(Random(self._seed))
        self.config = SessionConfig(model=model)
        conversation = Conversation(self.ids.new("conv"), options.max_items)
        self.record = SessionRecord(self.ids.new("sess"), model, now, conversation)
        self.record.caller.keep = options.keep_audio
        self.meter = Meter()
        self.outbox = Outbox()
        self.ordered = OrderedRefusals()
        """What is refused on the scenario's order."""
        for refusal in options.refuse:
            self.ordered.order(refusal)
        self.refuse_updates(options.refuse_updates)
        self.tasks = tasks
        self._observer = observer

    @property
    def conversation(self) -> Conversation:
        return self.record.conversation

    @property
    def now(self) -> float:
        """Loop time, in seconds."""
        return asyncio.get_running_loop().time()

    @property
    def audio_present(self) -> bool:
        """Whether the assistant has spoken; that locks the voice."""
        return any(spoken.audio for spoken in self.record.spoken.values())

    @property
    def expires_at(self) -> int:
        """Unix time, as the API tells it."""
        epoch = time.time() - self.now if self.options.epoch is None else self.options.epoch
        return int(epoch + self.record.opened_at + self.options.expires_s)

    def first_byte_s(self, kind: str) -> float:
        """Return how long the model takes to its first byte; `kind` tells apart the responses of one turn.

        It depends on nothing but the seed, the session's number, the turn and the kind, so that two runs that ask for
        more or fewer responses still meet the same delays.
        """
        median_ms = self.options.ttfb_ms
        if not median_ms:
            return 0.0
        rng = Random(f"{self._seed}:{self.conversation.turns}:{kind}")
        return min(rng.lognormvariate(math.log(median_ms), self.options.ttfb_sigma), MAX_FIRST_BYTE_MS) / 1000

    def emit(self, kind: str, **fields: object) -> None:
        """Send a server event."""
        if self.outbox.muted:
            return
        event: Json = {"type": kind, "event_id": self.ids.event(), **fields}
        if self.options.obfuscation and kind.endswith(".delta"):
            event["obfuscation"] = self.ids.new("pad")
        if self._observer is not None:
            self._observer(self.record.id, "out", event, self.now)
        self.outbox.put(json.dumps(event, separators=(",", ":")))

    def observe(self, event: Json) -> None:
        """Show a client event to whoever watches."""
        if self._observer is not None:
            self._observer(self.record.id, "in", event, self.now)

    def refuse(self, refused: Refused, event_id: str | None = None, event: Json | None = None) -> None:
        """Send an `error` event; the session goes on. `event` is the client's, when one was refused."""
        error: Json = {
            "type": refused.kind,
            "code": refused.code,
            "message": refused.message,
            "param": refused.param,
            "event_id": event_id,
        }
        self.record.errors.append(error)
        if event is not None:
            silenced = {key: value for key, value in event.items() if key != "audio"}
            self.record.refused.append(Refusal(silenced, error, self.now))
        self.emit("error", error=error)

    def refuse_updates(self, count: int) -> None:
        """Refuse the next `session.update`, so many of them."""
        for _ in range(count):
            words = "Invalid value: this update was refused by the scenario."
            self.ordered.order(OrderedRefusal(event="session.update", message=words, param="session"))

    def expire(self) -> None:
        """End the session as the service does when its time is over."""
        self.refuse(Refused("session_expired", EXPIRED))
        self.outbox.close(1001, EXPIRED)

    def add_item(self, item: Item, after: str | None = None, *, turn: bool = False) -> None:
        """Put a finished item into the conversation and announce it. Raises `Refused`."""
        self.conversation.add(item, after, turn=turn)
        previous = self.conversation.previous_id(item.id)
        self.emit("conversation.item.added", item=item.wire, previous_item_id=previous)
        self.emit("conversation.item.done", item=item.wire, previous_item_id=previous)
