"""What the leg was sent and what the caller has heard: the one source for both.

Theory. The model speaks several times faster than real time, so audio waits here (the tail) and leaves in
pieces, never more than a bounded lead ahead of the caller's ear. Every piece that left lies on the call's
clock: it begins when the piece before it ends, or when it was sent if nothing was playing. A mark that comes
back proves that everything before it was heard by then, and tells how late the line plays (`lateness.py`):
heard = what marks confirmed + what the clock, less that lateness, says; never more than was sent.

A clear makes the carrier echo every pending mark at once (Twilio Media Streams, *clear*). `interrupt` forgets
the names before it asks for the clear, so such an echo finds no entry and proves nothing.

Items and responses are the Realtime API's. One response may hold several items; audio comes in playback order.
Audio of our own (ring-back) is kept in the same account, but no model is told about it.

While held, nothing leaves: what the carrier had not played is taken back to the front of the tail, so that it can go
on where the caller left off. An interruption may follow a hold as it may follow anything else.
"""

from collections import OrderedDict, deque
from dataclasses import dataclass, field

from gateway.core.audio import AudioFormat, payload_ms, split_payload, split_payload_at
from gateway.core.commands import ClearAudio, Command, DeleteItem, Heard, PlayAudio, SendMark, TruncateItem
from gateway.core.lateness import Lateness

__all__ = ["CutItem", "Interruption", "Playout"]

PIECE_MS = 180
"""Longest piece that leaves at once: 180 ms; a multiple of 3, so that base64 text can be cut."""
MAX_TAIL_MS = 600_000.0
"""Unplayed audio that is kept: ten minutes, as much as Twilio itself queues; what comes beyond is not heard."""
OWN = "own:"
"""Begins the item ids of audio that is not the model's."""
OVERDUE_S = 5.0
"""A last mark that is later than this is lost: what it marks counts as heard, else the call would wait for ever."""
KEPT_ITEMS = 64
"""Items whose lengths are remembered; more than one caller can have waiting."""
KEPT_CUTS = 64
"""Silenced responses whose late deltas are still recognised."""


@dataclass(slots=True)
class _Piece:
    response_id: str
    item_id: str
    payload: str
    ms: float
    begins_s: float = 0.0
    """When it begins if it plays as it was sent."""
    last_of_response: bool = False
    mark: str = ""
    marked_s: float = 0.0
    """When the mark behind it was sent; that may be long after it has played."""

    @property
    def ends_s(self) -> float:
        return self.begins_s + self.ms / 1000

    def heard_ms(self, now: float) -> float:
        """Return how much of it was heard by the clock, never more than it holds."""
        return min(max((now - self.begins_s) * 1000, 0.0), self.ms)


@dataclass(slots=True)
class _Item:
    received_ms: float = 0.0
    heard_ms: float = 0.0


@dataclass(slots=True, frozen=True)
class CutItem:
    """An item that the caller did not hear to its end."""

    item_id: str
    heard_ms: int
    received_ms: int


@dataclass(slots=True, frozen=True)
class Interruption:
    """What a barge-in cut, and what to tell the leg and the model about it."""

    items: tuple[CutItem, ...] = ()
    commands: list[Command] = field(default_factory=list)


class Playout:
    """Paces model audio towards the leg and keeps the account of what was heard. All times are the caller's `now`."""

    def __init__(self, lead_ms: float = 400.0, mark_every_ms: float = 1000.0) -> None:
        self.audio = AudioFormat.PCMU
        """What the audio is; changed only while none is unheard."""
        self._lead_s = lead_ms / 1000
        self._mark_every_ms = mark_every_ms
        self._tail: deque[_Piece] = deque()
        self._sent: deque[_Piece] = deque()
        self._items: OrderedDict[str, _Item] = OrderedDict()
        self._cut: OrderedDict[str, None] = OrderedDict()
        self._newest = ("", "")
        """The response and item of the newest audio."""
        self._detached: set[str] = set()
        self._line = Lateness()
        self._held = False
        self._busy_s = 0.0
        """Until when the line belongs to something else."""
        self._ends_s = 0.0
        self._unmarked_ms = 0.0
        self._tail_ms = 0.0
        self._marks = 0

    @property
    def deadline(self) -> float | None:
        """When the next piece may leave, or the mark of the last is overdue; None while nothing is due by time."""
        if self._tail:
            return None if self._held else self._next_s
        return self.ends_s() + OVERDUE_S if self._sent else None

    @property
    def _next_s(self) -> float:
        return max(self._ends_s + max(self._line.late_s, 0.0) - self._lead_s, self._busy_s)

    @property
    def unheard(self) -> bool:
        """Whether audio waits or was sent and not yet confirmed."""
        return bool(self._tail or self._sent)

    def ends_s(self) -> float:
        """Return when the mark of the last sent piece is due by the clock; meaningful while `unheard`."""
        return self._ends_s + max(self._line.late_s, 0.0) + self._line.trip_s

    def free_s(self) -> float:
        """Return when what was sent, keys included, has sounded by the clock."""
        return self._ends_s

    def left_s(self, now: float) -> float:
        """Return how long everything unheard would still play."""
        return max(self._ends_s - now, 0.0) + self._tail_ms / 1000

    def waiting(self) -> bool:
        """Return whether audio has not left yet."""
        return bool(self._tail)

    def play_own(self, name: str, payload: str, now: float) -> list[Command]:
        """Queue audio that is not the model's. `name` must be new."""
        item_id = OWN + name
        commands = self.receive(item_id, item_id, payload, now)
        return commands + self.finish(item_id, now)

    def plays_own(self, name: str) -> bool:
        """Return whether some of it is still unheard."""
        return self.plays(OWN + name)

    def plays(self, response_id: str) -> bool:
        """Return whether some audio of a response is still unheard."""
        return any(piece.response_id == response_id for pieces in (self._sent, self._tail) for piece in pieces)

    def occupy(self, seconds: float, now: float) -> None:
        """Leave the line to something else: what comes next plays after it. Only while nothing is unheard."""
        self._ends_s = self._busy_s = max(self._ends_s, now) + seconds

    def hold(self, now: float) -> list[Command]:
        """Stop at once and keep what was not heard; whatever is received meanwhile waits too."""
        if self._held:
            return []
        self._held = True
        if not self._sent:
            return []
        commands: list[Command] = [ClearAudio()]
        kept: list[_Piece] = []
        for piece in self._sent:
            heard_ms, rest = _cut(piece, piece.heard_ms(now - self._line.late_s), self.audio)
            if heard_ms > 0:
                commands.append(self._settle(piece, heard_ms, self._shift_s))
            kept += rest
        self._sent.clear()
        self._tail.extendleft(reversed(kept))
        self._tail_ms += sum(piece.ms for piece in kept)
        self._stopped(now)
        return commands

    def resume(self, now: float) -> list[Command]:
        """Go on where it was held."""
        if not self._held:
            return []
        self._held = False
        self._ends_s = max(self._ends_s, now)
        return self.release(now)

    @property
    def waiting_response(self) -> str:
        """The response of the audio that waits first; "" when none waits."""
        return self._tail[0].response_id if self._tail else ""

    def receive(self, response_id: str, item_id: str, payload: str, now: float) -> list[Command]:
        """Take one delta; late deltas of a silenced response are dropped by its id."""
        if response_id in self._cut or self._tail_ms > MAX_TAIL_MS:
            return []
        item = self._item(item_id)
        self._newest = (response_id, item_id)
        for text in split_payload(payload, PIECE_MS * self.audio.bytes_per_ms):
            ms = payload_ms(text, self.audio)
            item.received_ms += ms
            self._tail_ms += ms
            self._tail.append(_Piece(response_id, item_id, text, ms))
        return self.release(now)

    def finish(self, response_id: str, now: float) -> list[Command]:
        """Tell that no more audio comes for this response, so that its end gets a mark of its own."""
        if self._tail and self._tail[-1].response_id == response_id:
            self._tail[-1].last_of_response = True
        elif self._sent and self._sent[-1].response_id == response_id and not self._sent[-1].mark:
            return [self._mark(self._sent[-1], now)]
        return self.release(now)

    def release(self, now: float) -> list[Command]:
        """Send what the lead allows now. Call at `deadline`."""
        commands: list[Command] = []
        if self._sent and not self._tail and now >= self.ends_s() + OVERDUE_S:
            commands += [self._settle(piece, piece.ms, self._shift_s) for piece in self._sent]
            self._sent.clear()
        # Compared as `deadline` is computed: rearranged, rounding could leave a piece behind at its own deadline.
        while self._tail and not self._held and now >= self._next_s:
            piece = self._tail.popleft()
            self._tail_ms -= piece.ms
            if now > self._ends_s + max(self._line.late_s, 0.0):
                self._line.began()
                self._ends_s = now
            piece.begins_s = self._ends_s
            self._ends_s = piece.ends_s
            self._sent.append(piece)
            commands.append(PlayAudio(piece.item_id, piece.payload, piece.ms))
            self._unmarked_ms += piece.ms
            if piece.last_of_response or self._unmarked_ms >= self._mark_every_ms:
                commands.append(self._mark(piece, now))
        return commands

    def played(self, name: str, now: float) -> list[Heard]:
        """Confirm that everything up to this mark was heard. Unknown names (cleared marks) prove nothing."""
        if not any(piece.mark == name for piece in self._sent):
            return []
        settled: list[_Piece] = []
        while True:
            piece = self._sent.popleft()
            settled.append(piece)
            if piece.mark == name:
                break
        last = settled[-1]
        # A mark that left after its piece had ended comes back at once: that is not the line's doing.
        shift_s = now - max(last.ends_s, last.marked_s)
        self._line.echoed(shift_s)
        return [self._settle(piece, piece.ms, shift_s) for piece in settled]

    def interrupt(self, now: float, response_id: str = "") -> Interruption:
        """Silence everything unheard, and with it `response_id`, the response being generated, if any.

        The item playing is truncated at what was heard of it; items of which nothing was heard are deleted
        (the API refuses a truncation at 0 ms and one beyond what it sent: protocols, §5.3).
        """
        commands: list[Command] = [ClearAudio()] if self._sent else []
        # A silenced response may linger: its items were told of when it was silenced.
        told = self.is_cut(response_id)
        unheard: OrderedDict[str, None] = OrderedDict()
        for piece in self._sent:
            ms = piece.heard_ms(now - self._line.late_s)
            if ms > 0:
                commands.append(self._settle(piece, ms, self._shift_s))
            if ms < piece.ms:
                unheard[piece.item_id] = None
                self.silence(piece.response_id)
        for piece in self._tail:
            unheard[piece.item_id] = None
            self.silence(piece.response_id)
        if response_id and not told:
            self.silence(response_id)
            if self._newest[0] == response_id:
                # It is still being generated: what is on its way of this item will not be heard either.
                unheard[self._newest[1]] = None
        self._forget_unheard()
        self._stopped(now)
        items = tuple(self._cut_item(item_id) for item_id in unheard if not item_id.startswith(OWN))
        commands += [self._tell(item) for item in items if item.item_id not in self._detached]
        return Interruption(items, commands)

    def silence(self, response_id: str) -> None:
        """Drop every later delta of this response."""
        self._cut[response_id] = None
        while len(self._cut) > KEPT_CUTS:
            self._cut.popitem(last=False)

    def is_cut(self, response_id: str) -> bool:
        """Return whether this response was silenced."""
        return response_id in self._cut

    def detach(self) -> None:
        """The model's session is gone: what plays goes on playing, but no model can be told about it."""
        self._detached.update(self._items)

    def close(self, now: float) -> Interruption:
        """Settle by the clock what the caller heard until the leg ended. Nothing may be played after."""
        by = now - self._line.late_s
        unheard: OrderedDict[str, None] = OrderedDict()
        heard: list[Command] = []
        for piece in self._sent:
            ms = piece.heard_ms(by)
            if ms > 0:
                heard.append(self._settle(piece, ms, self._shift_s))
            if ms < piece.ms:
                unheard[piece.item_id] = None
        unheard.update(dict.fromkeys(piece.item_id for piece in self._tail))
        self._forget_unheard()
        return Interruption(tuple(self._cut_item(item) for item in unheard if not item.startswith(OWN)), heard)

    def heard_ms(self, item_id: str, now: float) -> tuple[float, float]:
        """Return (heard, received) of an item in ms, by marks and clock; (0, 0) for an unknown one."""
        item = self._items.get(item_id)
        if item is None:
            return 0.0, 0.0
        playing = sum(piece.heard_ms(now - self._line.late_s) for piece in self._sent if piece.item_id == item_id)
        return min(item.heard_ms + playing, item.received_ms), item.received_ms

    def _item(self, item_id: str) -> _Item:
        item = self._items.get(item_id)
        if item is None:
            item = self._items[item_id] = _Item()
            if len(self._items) > KEPT_ITEMS:
                forgotten, _ = self._items.popitem(last=False)
                self._detached.discard(forgotten)
        return item

    def _mark(self, piece: _Piece, now: float) -> SendMark:
        piece.marked_s = now
        self._marks += 1
        self._unmarked_ms = 0.0
        piece.mark = f"m{self._marks}"
        return SendMark(piece.mark)

    def _settle(self, piece: _Piece, ms: float, shift_s: float) -> Heard:
        self._item(piece.item_id).heard_ms += ms
        return Heard(piece.item_id, piece.payload, piece.begins_s + shift_s, ms)

    def _forget_unheard(self) -> None:
        self._sent.clear()
        self._tail.clear()
        self._tail_ms = 0.0

    @property
    def _shift_s(self) -> float:
        """From when a piece would be heard had it played as sent, to when it is: as a mark behind it would tell."""
        return self._line.late_s + self._line.trip_s

    def _stopped(self, now: float) -> None:
        """Nothing plays any more: what comes next begins anew."""
        self._line.began()
        self._ends_s = max(now, self._busy_s)
        self._unmarked_ms = 0.0

    def _cut_item(self, item_id: str) -> CutItem:
        item = self._item(item_id)
        received_ms = int(item.received_ms)
        return CutItem(item_id, min(round(item.heard_ms), received_ms), received_ms)

    @staticmethod
    def _tell(item: CutItem) -> Command:
        return TruncateItem(item.item_id, item.heard_ms) if item.heard_ms > 0 else DeleteItem(item.item_id)


def _cut(piece: _Piece, heard_ms: float, audio: AudioFormat) -> tuple[float, list[_Piece]]:
    """Return what was heard, rounded down to where text can be cut, and what is left to be sent again."""
    if heard_ms >= piece.ms:
        return piece.ms, []
    heard, rest = split_payload_at(piece.payload, heard_ms, audio)
    left_ms = payload_ms(rest, audio)
    left = _Piece(piece.response_id, piece.item_id, rest, left_ms, last_of_response=piece.last_of_response)
    return payload_ms(heard, audio), [left]
