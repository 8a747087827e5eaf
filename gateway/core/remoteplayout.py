"""What the caller hears where the model's server plays it: the account of a call whose media is elsewhere.

Takes the place of `Playout`, and says so: no audio passes here, so nothing can be paced, held, marked or played. The
server tells when a response begins to play, has played, or was cleared (`output_audio_buffer.*`), and at an
interruption where it cut an item (`conversation.item.truncated`): told is what it says, no more. How long a text takes
to say is only estimated, by the pace of what was said before: it tells how much of the words a cut left, and bounds the
wait for a server that never tells. `Heard` carries no audio here, and of several items of one response the server does
not say where one ends: its time is divided by their words.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.core.audio import AudioFormat
from gateway.core.commands import Command, Heard
from gateway.core.playout import CutItem, Interruption

__all__ = ["RemotePlayout"]

PACE_MS = 65.0
"""What a character takes to say, until it is known: about 150 words a minute."""
PACE_BOUNDS_MS = (30.0, 150.0)
PACE_CHARACTERS = 20
"""A shorter text tells nothing about the pace."""
BEGIN_S = 4.0
"""A response that was generated and has not begun to play by then will not be told of."""
SLACK = 1.6
"""A response that takes so much longer than estimated counts as heard: its end will not be told of."""
SLACK_S = 3.0
CUT_S = 0.6
"""How long, after a clear, the server may take to say where it cut, and what the words were."""
KEPT = 32
"""Responses that are waited for, and silenced ones that are remembered."""


@dataclass(slots=True)
class _Response:
    since_s: float
    """When it was first told of."""
    characters: OrderedDict[str, int] = field(default_factory=OrderedDict)
    """Of each item, in the order in which they are said; 0 until its words are known."""
    done: bool = False
    began_s: float | None = None
    cleared_s: float | None = None
    dropped: bool = False
    """Whether the server was asked to drop it."""
    cut: tuple[str, int] | None = None
    """The item that the server cut, and after how many ms."""

    @property
    def total(self) -> int:
        return sum(self.characters.values())


class RemotePlayout:
    """The account of what the server plays. Has what `Playout` has; all times are the caller's `now`."""

    def __init__(self) -> None:
        self.audio = AudioFormat.PCMU
        self._responses: OrderedDict[str, _Response] = OrderedDict()
        self._silenced: OrderedDict[str, None] = OrderedDict()
        self._of_item: OrderedDict[str, str] = OrderedDict()
        self._pace_ms = PACE_MS
        self._held = False
        self._silence = False
        """Whether what plays is to be dropped, by us."""

    # --- what the server says -----------------------------------------------------------------

    def said(self, response_id: str, item_id: str, text: str, now: float) -> None:
        """The words of an item are known; it plays, will play, or was cut."""
        if not text and response_id not in self._responses:
            return
        self._response(response_id, now).characters[item_id] = len(text)
        self._of_item[item_id] = response_id
        while len(self._of_item) > KEPT:
            self._of_item.popitem(last=False)

    def started(self, response_id: str, now: float) -> None:
        """It begins to play; what nobody is to hear is dropped."""
        response = self._response(response_id, now)
        response.began_s = now if response.began_s is None else response.began_s
        if self._held or response_id in self._silenced:
            self._silence = response.dropped = True

    def stopped(self, response_id: str, now: float) -> list[Heard]:
        """All of it was heard."""
        response = self._responses.get(response_id)
        if response is None or response.cleared_s is not None:
            return []
        del self._responses[response_id]
        if response.began_s is not None and response.total >= PACE_CHARACTERS:
            low, high = PACE_BOUNDS_MS
            self._pace_ms = min(max((now - response.began_s) * 1000 / response.total, low), high)
        return self._heard(response)

    def cleared(self, response_id: str, now: float) -> None:
        """The rest of it is not heard."""
        response = self._response(response_id, now)
        response.cleared_s = now if response.cleared_s is None else response.cleared_s
        self.silence(response_id)

    def truncated(self, item_id: str, heard_ms: int, now: float) -> None:
        """The server says how much of an item was heard."""
        response_id = self._of_item.get(item_id) or next(
            (name for name, one in self._responses.items() if one.began_s is not None and not one.characters), ""
        )
        response = self._responses.get(response_id)
        if response is not None:
            response.cut = (item_id, heard_ms)
            response.characters.setdefault(item_id, 0)
            response.cleared_s = now if response.cleared_s is None else response.cleared_s

    def settle(self, now: float) -> Interruption:
        """Return the items of which it is clear by now that they were cut, and where; forget what is over."""
        cut: list[CutItem] = []
        heard: list[Command] = []
        for response_id, response in list(self._responses.items()):
            if response.cleared_s is not None:
                told = response.cut is not None and all(response.characters.values())
                if told or now >= response.cleared_s + CUT_S:
                    items = self._cut_of(response, response.cleared_s)
                    heard += self._heard(response, items)
                    cut += items
                    del self._responses[response_id]
            elif now >= self._overdue_s(response):
                heard += self._heard(response)
                del self._responses[response_id]
        return Interruption(tuple(cut), heard)

    def take_silence(self) -> bool:
        """Return whether the server must be asked to drop what it plays; once."""
        silence, self._silence = self._silence, False
        return silence

    # --- as `Playout` -------------------------------------------------------------------------

    @property
    def deadline(self) -> float | None:
        """When something counts as over that the server does not tell of."""
        due = (
            response.cleared_s + CUT_S if response.cleared_s is not None else self._overdue_s(response)
            for response in self._responses.values()
        )
        earliest = min(due, default=None)
        return None if earliest == float("inf") else earliest

    @property
    def unheard(self) -> bool:
        return bool(self._responses)

    def ends_s(self) -> float:
        """Return when everything counts as heard at the latest."""
        ends = max((self._overdue_s(response) for response in self._responses.values()), default=0.0)
        return ends

    def left_s(self, now: float) -> float:
        """Return how long, as far as can be estimated, what is unheard would still play."""
        left = 0.0
        for response in self._responses.values():
            played_s = now - response.began_s if response.began_s is not None else 0.0
            left += max(self._length_s(response) - played_s, 0.0)
        return left

    def plays(self, response_id: str) -> bool:
        return response_id in self._responses

    def receive(self, response_id: str, item_id: str, payload: str, now: float) -> list[Command]:
        """Audio on a socket that should carry none: the server plays it all the same, and tells of it."""
        return []

    def finish(self, response_id: str, now: float) -> list[Command]:
        """No more comes for this response."""
        response = self._responses.get(response_id)
        if response is not None:
            response.done = True
            response.since_s = now
        return []

    def interrupt(self, now: float, response_id: str = "") -> Interruption:
        """Have the server drop what it plays, unless it does so by itself: see `leave_to_server`.

        What was cut is told by the server, so it comes later, from `settle`.
        """
        for name in (*self._responses, *([response_id] if response_id else [])):
            self.silence(name)
        self._drop()
        return Interruption()

    def leave_to_server(self) -> None:
        """The server has heard the caller itself, and drops what it plays by itself."""
        self._silence = False
        for response in self._responses.values():
            response.dropped = False

    def silence(self, response_id: str) -> None:
        self._silenced[response_id] = None
        while len(self._silenced) > KEPT:
            self._silenced.popitem(last=False)

    def is_cut(self, response_id: str) -> bool:
        return response_id in self._silenced

    def hold(self, now: float) -> list[Command]:
        """Nothing is to be heard any more: the server cannot pause, so it drops what it plays."""
        self._held = True
        self._drop()
        return []

    def resume(self, now: float) -> list[Command]:
        self._held = False
        return []

    def detach(self) -> None:
        """The server is out of sight: the end of what it generates and plays may be missed."""
        for response in self._responses.values():
            response.done = True

    def close(self, now: float) -> Interruption:
        """The call is over: what played was cut where it was."""
        cut: list[CutItem] = []
        heard: list[Command] = []
        for response in self._responses.values():
            items = self._cut_of(response, now if response.cleared_s is None else response.cleared_s)
            heard += self._heard(response, items)
            cut += items
        self._responses.clear()
        return Interruption(tuple(cut), heard)

    # --- what there is nothing of here --------------------------------------------------------

    @property
    def waiting_response(self) -> str:
        return ""

    def waiting(self) -> bool:
        return False

    def free_s(self) -> float:
        return 0.0

    def occupy(self, seconds: float, now: float) -> None:
        return

    def play_own(self, name: str, payload: str, now: float) -> list[Command]:
        return []

    def plays_own(self, name: str) -> bool:
        return False

    def release(self, now: float) -> list[Command]:
        return []

    def played(self, name: str, now: float) -> list[Heard]:
        return []

    # --- private ------------------------------------------------------------------------------

    def _drop(self) -> None:
        for response in self._responses.values():
            self._silence = self._silence or not response.dropped
            response.dropped = True

    def _response(self, response_id: str, now: float) -> _Response:
        response = self._responses.get(response_id)
        if response is None:
            response = self._responses[response_id] = _Response(now)
            while len(self._responses) > KEPT:
                self._responses.popitem(last=False)
        return response

    def _length_s(self, response: _Response) -> float:
        return response.total * self._pace_ms / 1000

    def _overdue_s(self, response: _Response) -> float:
        if not response.done:
            return float("inf")
        begins_s = response.began_s if response.began_s is not None else response.since_s + BEGIN_S
        if response.began_s is None:
            return begins_s
        return max(begins_s + self._length_s(response) * SLACK + SLACK_S, response.since_s + SLACK_S)

    def _heard(self, response: _Response, cut: Sequence[CutItem] = ()) -> list[Heard]:
        """Return what was heard of each item, one after the other from where the response began to play."""
        cut_ms = {item.item_id: item.heard_ms for item in cut}
        begins_s = response.began_s if response.began_s is not None else response.since_s
        heard = []
        for item_id, characters in response.characters.items():
            ms = cut_ms.get(item_id, characters * self._pace_ms)
            if ms > 0:
                heard.append(Heard(item_id, "", begins_s, ms))
                begins_s += ms / 1000
        return heard

    def _cut_of(self, response: _Response, at_s: float) -> list[CutItem]:
        """Return the items that were not heard to their end: by the server's word, else by the clock."""
        left_ms = (at_s - response.began_s) * 1000 if response.began_s is not None else 0.0
        cut, over = [], False
        for item_id, characters in response.characters.items():
            length_ms = round(characters * self._pace_ms)
            if over:
                heard_ms = 0
            elif response.cut is not None:
                over = response.cut[0] == item_id
                heard_ms = response.cut[1] if over else length_ms
            else:
                heard_ms = round(min(left_ms, length_ms))
                left_ms -= heard_ms
                over = heard_ms < length_ms
            if over:
                cut.append(CutItem(item_id, heard_ms, max(length_ms, heard_ms, 1)))
        return cut
