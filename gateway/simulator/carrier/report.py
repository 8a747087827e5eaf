"""What a simulated call was like, from the caller's ear.

All times are seconds since the call was answered, on one clock for both directions.
"""

from dataclasses import dataclass, field
from itertools import pairwise

from gateway.simulator.carrier.heard import StreamLog
from gateway.simulator.carrier.tones import FRAME_BYTES, FRAME_S, RATE_BYTES, SILENCE
from gateway.simulator.carrier.wav import mulaw_wav

__all__ = [
    "Bridge",
    "CallReport",
    "ClockQuality",
    "Event",
    "MediaLog",
    "Segment",
    "Sound",
    "Spoken",
    "heard_prefix_ms",
]

UNDERRUN_S = 0.3
"""A gap in the agent's audio shorter than this is a stutter; a longer one is a turn."""
_INAUDIBLE = bytes([*range(0x78, 0x80), *range(0xF8, 0x100)])
"""Samples below -55 dBFS."""
RELIABLE_WORST_S = 0.1
RELIABLE_LATE_SHARE = 0.01


@dataclass(slots=True, frozen=True)
class Event:
    """Something that happened, with a name: a verb, a mark, a warning, a webhook."""

    at_s: float
    name: str
    detail: str = ""


@dataclass(slots=True, frozen=True)
class Spoken:
    """A text the network itself said (`<Say>`)."""

    start_s: float
    end_s: float
    text: str


@dataclass(slots=True)
class Sound:
    """What the network let the caller hear: `ring` of a `<Dial>`, `wait` music of a conference, a `play` of a sound
    file or of digits, another party (`bridged`)."""

    kind: str
    start_s: float
    end_s: float | None = None
    """None: until the end."""


@dataclass(slots=True)
class Bridge:
    """A time in which this call and another heard each other."""

    other_sid: str
    start_s: float
    end_s: float | None = None
    """None: until the end."""


@dataclass(slots=True)
class Segment:
    """Audio without a gap."""

    start_s: float
    audio: bytearray = field(default_factory=bytearray)

    @property
    def end_s(self) -> float:
        return self.start_s + len(self.audio) / RATE_BYTES


@dataclass(slots=True)
class MediaLog:
    """Both directions of the call's audio and all that steered it."""

    heard: list[Segment] = field(default_factory=list)
    said: list[Segment] = field(default_factory=list)
    marks: list[Event] = field(default_factory=list)
    """Echoes sent; `detail` is `played` or `cleared`."""
    clears: list[Event] = field(default_factory=list)
    """`detail` is the milliseconds of queued audio dropped."""
    streams: list[StreamLog] = field(default_factory=list)
    """Byte by byte, what each stream's agent audio came to."""
    frames_sent: int = 0
    frames_dropped: int = 0
    """Caller frames not sent because the gateway did not read for ten seconds."""
    messages_received: int = 0
    audio_received_bytes: int = 0
    audio_discarded_bytes: int = 0
    """Beyond ten minutes of queue."""

    @property
    def first_audio_s(self) -> float | None:
        """When the caller first heard the agent."""
        return self.heard[0].start_s if self.heard else None

    @property
    def underruns(self) -> int:
        """How often the agent's speech stuttered."""
        return sum(after.start_s - before.end_s < UNDERRUN_S for before, after in pairwise(self.heard))

    def played_bytes(self) -> bytes:
        """Return the agent's audio that was played, without the silences between."""
        return b"".join(bytes(segment.audio) for segment in self.heard)

    def played_until(self, at_s: float, since_s: float = 0.0) -> bytes:
        """Return the agent's audio that was heard before `at_s`, exact to the byte, without the silences between."""
        pieces = []
        for segment in self.heard:
            if segment.start_s >= at_s:
                break
            first, last = (max(0, round((time - segment.start_s) * RATE_BYTES)) for time in (since_s, at_s))
            pieces.append(bytes(segment.audio[first:last]))
        return b"".join(pieces)

    def heard_ms(self, item_audio: bytes, at_s: float, since_s: float = 0.0) -> int:
        """Return how many ms of an item's exact bytes had been heard at an instant, for instance when a clear was
        carried out; `since_s` leaves out what was heard before, where two items begin alike."""
        return heard_prefix_ms(item_audio, self.played_until(at_s, since_s)) or 0


@dataclass(slots=True)
class ClockQuality:
    """How well this process kept its own 20 ms clock; latency figures are worth no more than that."""

    frames: int = 0
    late_frames: int = 0
    """More than one frame late."""
    worst_s: float = 0.0

    def observe(self, lateness_s: float) -> None:
        self.frames += 1
        self.late_frames += lateness_s > FRAME_S
        self.worst_s = max(self.worst_s, lateness_s)

    @property
    def is_reliable(self) -> bool:
        return self.worst_s <= RELIABLE_WORST_S and self.late_frames <= self.frames * RELIABLE_LATE_SHARE


@dataclass(slots=True)
class CallReport:
    """One call, from offer to end."""

    call_sid: str
    parent_sid: str | None = None
    """The call whose `<Dial>` made this one."""
    outcome: str = "failed"
    """Twilio's final call status: completed, busy, no-answer, failed or canceled."""
    ended_by: str = ""
    """caller (the person on this call), twiml, end_of_twiml, rest, time_limit, application_error, redirect_limit,
    reject, not_answered; of a call made by `<Dial>` also dial_over, answered_elsewhere."""
    duration_s: float = 0.0
    """Answer to end."""
    verbs: list[Event] = field(default_factory=list)
    spoken: list[Spoken] = field(default_factory=list)
    webhooks: list[Event] = field(default_factory=list)
    """Requests made: `name` is `twiml` or `callback …`, `detail` the status or the failure, and the time taken."""
    warnings: list[Event] = field(default_factory=list)
    """Twilio's error codes. Twilio itself tells 31931 and 31951 once a stream; here every one is kept, to 200."""
    script_error: str | None = None
    """The step of the caller's script that could not be done, if any."""
    sounds: list[Sound] = field(default_factory=list)
    bridges: list[Bridge] = field(default_factory=list)
    keys_heard: list[Event] = field(default_factory=list)
    """Digits that came from the other side: `<Play digits>`, or keys of somebody this call was connected with."""
    deeds: list[Event] = field(default_factory=list)
    """What the caller did and when it began: say, barge_in, backchannel, dtmf, hang_up. `detail` is its length in ms,
    of dtmf the number of keys."""
    media: MediaLog = field(default_factory=MediaLog)
    clock: ClockQuality = field(default_factory=ClockQuality)

    @property
    def measurement_is_reliable(self) -> bool:
        return self.clock.is_reliable

    @property
    def says_heard(self) -> list[str]:
        return [spoken.text for spoken in self.spoken]

    def warn(self, at_s: float, code: int, text: str) -> None:
        if len(self.warnings) < 200:
            self.warnings.append(Event(at_s, str(code), text))

    def heard_bytes(self) -> bytes:
        """Return what the caller heard, mu-law, without a gap from the answer to the end."""
        return _continuous(self.media.heard, self.duration_s)

    def said_bytes(self) -> bytes:
        """Return what the caller said, on the same clock and as long as `heard_bytes()`."""
        return _continuous(self.media.said, self.duration_s)

    def two_channels(self) -> bytes:
        """Return mu-law samples interleaved: caller left, agent right."""
        left, right = self.said_bytes(), self.heard_bytes()
        both = bytearray(2 * max(len(left), len(right)))
        both[0::2] = left.ljust(len(both) // 2, bytes([SILENCE]))
        both[1::2] = right.ljust(len(both) // 2, bytes([SILENCE]))
        return bytes(both)

    def wav(self) -> bytes:
        """Return the call as a two-channel WAV file: caller left, what the caller heard right."""
        return mulaw_wav(self.two_channels(), 2)

    def figures(self) -> dict[str, object]:
        """Return what can be said of the call without its audio, ready for JSON; no numbers, no transcripts."""
        media = self.media
        return {
            "call_sid": self.call_sid,
            "outcome": self.outcome,
            "ended_by": self.ended_by,
            "duration_s": round(self.duration_s, 3),
            "script_error": self.script_error,
            "verbs": [[round(verb.at_s, 3), verb.name] for verb in self.verbs],
            "warnings": [[round(warning.at_s, 3), warning.name, warning.detail] for warning in self.warnings],
            "first_audio_s": media.first_audio_s,
            "heard_s": round(len(media.played_bytes()) / RATE_BYTES, 3),
            "underruns": media.underruns,
            "silences": [[round(start, 3), round(end, 3)] for start, end in self.silences()],
            "deaf_times": [[round(start, 3), round(end, 3)] for start, end in self.deaf_times()],
            "sounds": [[round(sound.start_s, 3), _rounded(sound.end_s), sound.kind] for sound in self.sounds],
            "bridges": [[round(one.start_s, 3), _rounded(one.end_s), one.other_sid] for one in self.bridges],
            "deeds": [[round(deed.at_s, 3), deed.name] for deed in self.deeds],
            "marks": len(media.marks),
            "clears": [[round(clear.at_s, 3), int(clear.detail)] for clear in media.clears],
            "frames_sent": media.frames_sent,
            "frames_dropped": media.frames_dropped,
            "messages_received": media.messages_received,
            "worst_lateness_ms": round(self.clock.worst_s * 1000, 1),
            "measurement_is_reliable": self.measurement_is_reliable,
        }

    def silences(self, longer_than_s: float = 2.0) -> list[tuple[float, float]]:
        """Return (start, end) of every time in which neither side nor the network made a sound."""
        said = [(segment.start_s, segment.end_s) for segment in self.media.said]
        return self._gaps([*said, *self._heard()], longer_than_s)

    def deaf_times(self, longer_than_s: float = 2.0) -> list[tuple[float, float]]:
        """Return (start, end) of every time in which the caller heard nothing: no voice, no ringing, no music.

        Agent audio that is silent counts as nothing; the caller's own speech does not count.
        """
        return self._gaps(self._heard(), longer_than_s)

    def _heard(self) -> list[tuple[float, float]]:
        """Return when there was something to hear, pieces of the agent's audio by 20 ms."""
        busy = [(spoken.start_s, spoken.end_s) for spoken in self.spoken]
        busy += [(sound.start_s, self.duration_s if sound.end_s is None else sound.end_s) for sound in self.sounds]
        return busy + [span for segment in self.media.heard for span in loud_spans(segment)]

    def _gaps(self, busy: list[tuple[float, float]], longer_than_s: float) -> list[tuple[float, float]]:
        found, reached = [], 0.0
        for start, end in [*sorted(busy), (self.duration_s, self.duration_s)]:
            if start - reached > longer_than_s:
                found.append((reached, start))
            reached = max(reached, end)
        return found


def loud_spans(segment: Segment) -> list[tuple[float, float]]:
    """Return (start, end) of the stretches of a segment that can be heard, to 20 ms."""
    spans: list[tuple[float, float]] = []
    for at in range(0, len(segment.audio), FRAME_BYTES):
        if not segment.audio[at : at + FRAME_BYTES].translate(None, _INAUDIBLE):
            continue
        start = segment.start_s + at / RATE_BYTES
        if spans and start - spans[-1][1] < 1e-6:
            spans[-1] = (spans[-1][0], start + FRAME_S)
        else:
            spans.append((start, start + FRAME_S))
    return spans


def heard_prefix_ms(item_audio: bytes, heard: bytes) -> int | None:
    """Return how many ms of an item's exact bytes the caller heard, or None when it was not heard at all.

    Silence put into `heard` by an underrun is skipped. Silence inside the item at the cut cannot be told
    from silence on the line: give `MediaLog.played_bytes()` as `heard` for an exact figure.
    """
    lead = len(item_audio) - len(item_audio.lstrip(bytes([SILENCE])))
    seed = item_audio[lead : lead + FRAME_BYTES]
    best, at = 0, -1
    for size in (len(seed), 80, 40) if seed else ():
        at = heard.find(seed[:size])
        while at >= 0:
            best = max(best, _matching(item_audio, lead, heard, at))
            at = heard.find(seed[:size], at + 1)
        if best:
            break
    return best * 1000 // RATE_BYTES if best else None


def _rounded(at_s: float | None) -> float | None:
    return None if at_s is None else round(at_s, 3)


def _matching(item: bytes, done: int, heard: bytes, at: int) -> int:
    while done < len(item) and at < len(heard):
        size = _common(item, done, heard, at)
        done, at = done + size, at + size
        skip = at
        while skip < len(heard) and heard[skip] == SILENCE:
            skip += 1
        # Only a gap that is followed by the item's next bytes belongs to it.
        if skip == at or not _common(item, done, heard, skip) >= min(40, len(item) - done, len(heard) - skip) > 0:
            return done
        at = skip
    return done


def _common(left: bytes, i: int, right: bytes, j: int) -> int:
    size = min(len(left) - i, len(right) - j)
    low, step = 0, 4096
    while low < size and left[i + low : i + low + step] == right[j + low : j + low + step][: size - low]:
        low += step
    while low < size and left[i + low] == right[j + low]:
        low += 1
    return min(low, size)


def _continuous(segments: list[Segment], duration_s: float) -> bytes:
    total = round(duration_s * RATE_BYTES)
    track = bytearray([SILENCE]) * total
    for segment in segments:
        start = round(segment.start_s * RATE_BYTES)
        end = min(start + len(segment.audio), total)
        track[start:end] = segment.audio[: max(0, end - start)]
    return bytes(track)
