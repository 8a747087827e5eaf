"""How well the ear hears: `python -m tests.hearing.measure CLIPS [--half a|b|all] [--json]`; no test.

CLIPS is a folder of labelled caller clips: `labels.json` (`file`, `id`, `segments` of `kind`, `start_ms`, `end_ms`),
the mu-law files it names, and noises in `noise/`. It is not in this repository, but `gateway/simulator/clips` came from
it. Half a holds every other utterance, by id, half b the rest: constants were tuned on a, the README quotes b.

A call here is 3 s without speech, then eight clips with 2 s between them; noise, when there is some, is there all the
time, its level set against the speech of the call. In the echo scenes an agent talks all the while (other clips, short
gaps) and comes back attenuated and late.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.core.events import VoiceStarted
from gateway.hearing import Ear
from gateway.hearing.pcm import mean_square_root, to_pcm
from tests.hearing.sounds import mixed, payload, scaled

RATE, FRAME = 8000, 160
LEAD_S, GAP_S, AGENT_GAP_S = 3.0, 2.0, 0.4
CLIPS_A_CALL = 8
LEAD_OF_AGENT_S = 0.4
"""How far ahead of the clock the agent's audio is sent."""
NOISES = ("comfort", "pink", "street", "babble", "hold-music")
SNRS_DB = (20, 15, 10, 5)
TOLERANCE_S = 0.1
HANG_S = 0.16
"""Silence until a voice is told to be over."""

Heard = tuple[bytes, Sequence[tuple[float, float]], bytes]
"""The caller's side and what of it is speech, the agent's side; samples of 16 bit."""


@dataclass(slots=True, frozen=True)
class Clip:
    pcm: bytes
    speech: tuple[tuple[float, float], ...]


@dataclass(slots=True)
class Score:
    """Sums over the calls of one scene."""

    segments: int = 0
    missed: int = 0
    false: int = 0
    merged: int = 0
    """Segments at whose start, or end, a voice was told that had begun before, or went on."""
    splits: int = 0
    """Further voices inside of a segment."""
    seconds: float = 0.0
    silent_s: float = 0.0
    false_s: float = 0.0
    cpu_s: float = 0.0
    starts_ms: list[float] = field(default_factory=list)
    ends_ms: list[float] = field(default_factory=list)
    onset_errors_ms: list[float] = field(default_factory=list)

    def to_json(self, name: str) -> dict[str, object]:
        return {
            "scene": name,
            "segments": self.segments,
            "missed_pct": round(100 * self.missed / self.segments, 1) if self.segments else None,
            "start_p50": percentile(self.starts_ms, 50),
            "start_p95": percentile(self.starts_ms, 95),
            "end_p50": percentile(self.ends_ms, 50),
            "end_p95": percentile(self.ends_ms, 95),
            "onset_p50": percentile(self.onset_errors_ms, 50),
            "false_per_min": round(60 * self.false / self.seconds, 2),
            "false_voice_pct": round(100 * self.false_s / max(self.silent_s, 1e-9), 1),
            "merged_pct": round(100 * self.merged / self.segments, 1) if self.segments else None,
            "splits": self.splits,
            "minutes": round(self.seconds / 60, 1),
            "cpu_ms_per_s": round(1000 * self.cpu_s / self.seconds, 2),
        }


def percentile(values: Sequence[float], percent: int) -> int | None:
    return round(sorted(values)[max(0, -(-percent * len(values) // 100) - 1)]) if values else None


def read_clips(folder: Path, half: str) -> list[Clip]:
    labels = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
    ids = sorted({label["id"] for label in labels})
    wanted = set({"a": ids[0::2], "b": ids[1::2], "all": ids}[half])
    clips = []
    for label in labels:
        if label["id"] in wanted:
            spoken = tuple(
                (part["start_ms"] / 1000, part["end_ms"] / 1000)
                for part in label["segments"]
                if part["kind"] == "speech"
            )
            clips.append(Clip(to_pcm((folder / label["file"]).read_bytes()), spoken))
    # Neighbours in the list are the same words by another voice: mixed up, the same way each time.
    return [clip for start in range(7) for clip in clips[start::7]]


@dataclass(slots=True)
class Track:
    """What one side says in one call."""

    pcm: bytearray = field(default_factory=bytearray)
    speech: list[tuple[float, float]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return len(self.pcm) / 2 / RATE

    def silence(self, seconds: float) -> None:
        self.pcm += bytes(2 * int(RATE * seconds))

    def say(self, clip: Clip) -> None:
        at = self.seconds
        self.speech += [(at + begin, at + end) for begin, end in clip.speech]
        self.pcm += clip.pcm

    def level(self) -> int:
        spoken = b"".join(bytes(self.pcm[2 * int(a * RATE) : 2 * int(b * RATE)]) for a, b in self.speech)
        return mean_square_root(spoken)


def callers(clips: Sequence[Clip]) -> Iterator[Track]:
    for start in range(0, len(clips), CLIPS_A_CALL):
        track = Track()
        track.silence(LEAD_S)
        for clip in clips[start : start + CLIPS_A_CALL]:
            track.say(clip)
            track.silence(GAP_S)
        yield track


def agent(clips: Sequence[Clip], first: int, seconds: float) -> Track:
    track = Track()
    track.silence(0.3)
    while track.seconds < seconds:
        track.say(clips[first % len(clips)])
        track.silence(AGENT_GAP_S)
        first += 1
    del track.pcm[2 * int(seconds * RATE) :]
    return track


def echo_of(track: Track, gain_db: float, delay_s: float) -> bytes:
    late = bytes(2 * int(delay_s * RATE)) + bytes(track.pcm)
    return scaled(late[: len(track.pcm)], gain_db)


def listen(heard: bytes, speech: Sequence[tuple[float, float]], sent: bytes, score: Score) -> None:
    """Play one call to a new ear and add what it told to the score."""
    frames = [payload(heard[at : at + 2 * FRAME]) for at in range(0, len(heard), 2 * FRAME)]
    pieces = [payload(sent[at : at + 20 * FRAME]) for at in range(0, len(sent), 20 * FRAME)]
    ear, played, voices = Ear(), 0, Voices()
    begun = time.process_time()
    for number, frame in enumerate(frames, 1):
        now = number * FRAME / RATE
        while played < len(pieces) and played * 0.2 < now - FRAME / RATE + LEAD_OF_AGENT_S:
            ear.played(pieces[played], max(0.0, now - FRAME / RATE))
            played += 1
        for event in ear.caller(frame, now):
            if isinstance(event, VoiceStarted):
                voices.open = (event.at_s, now)
            else:
                voices.finish(now)
    score.cpu_s += time.process_time() - begun
    seconds = len(heard) / 2 / RATE
    score.seconds += seconds
    voices.finish(seconds)
    voices.judge(speech, score, seconds)


@dataclass(slots=True)
class Voices:
    """(began, proven, told to be over) of each voice."""

    found: list[tuple[float, float, float]] = field(default_factory=list)
    open: tuple[float, float] | None = None

    def finish(self, now: float) -> None:
        if self.open is not None:
            self.found.append((*self.open, now))
            self.open = None

    def judge(self, speech: Sequence[tuple[float, float]], score: Score, seconds: float) -> None:
        score.segments += len(speech)
        score.silent_s += seconds - sum(end - begin for begin, end in speech)
        true: set[int] = set()
        for index, (begin, end) in enumerate(speech):
            inside = [
                number
                for number, (_, proven, over) in enumerate(self.found)
                if over - HANG_S > begin and proven < end + TOLERANCE_S
            ]
            true.update(inside)
            following = speech[index + 1][0] if index + 1 < len(speech) else seconds
            self._judge_one(inside, begin, end, following, score)
        wrong = [voice for number, voice in enumerate(self.found) if number not in true]
        score.false += len(wrong)
        score.false_s += sum(over - began for began, _, over in wrong)

    def _judge_one(self, inside: list[int], begin: float, end: float, following: float, score: Score) -> None:
        if not inside:
            score.missed += 1
            return
        began, proven, _ = self.found[inside[0]]
        over = self.found[inside[-1]][2]
        score.splits += len(inside) - 1
        score.merged += proven < begin or over > following
        if proven >= begin:
            score.starts_ms.append(1000 * (proven - begin))
            score.onset_errors_ms.append(1000 * (began - begin))
        if over <= following:
            score.ends_ms.append(1000 * (over - end))


def scenes(folder: Path, half: str, only: str) -> Iterator[dict[str, object]]:
    clips = read_clips(folder, half)
    tracks = list(callers(clips))
    if only in "clean":
        yield _scene("clean", [(bytes(t.pcm), t.speech, b"") for t in tracks])
    for noise in NOISES:
        pcm = to_pcm((folder / "noise" / f"{noise}.ulaw").read_bytes())
        for snr in SNRS_DB:
            if only in f"{noise} {snr}":
                yield _scene(f"{noise} {snr} dB", [_noisy(t, pcm, snr) for t in tracks])
        if only in f"{noise} alone":
            yield _scene(f"{noise} alone, at once", [(pcm * 6, [], b"")])
            yield _scene(f"{noise} alone, after 5 s", [(bytes(2 * 5 * RATE) + pcm * 6, [], b"")])
    for gain, delay in ((-20, 0.12), (-14, 0.2)):
        for kind in ("alone", "double talk"):
            if only in f"echo {gain} {kind}":
                yield _scene(
                    f"echo {gain} dB {delay * 1000:.0f} ms, {kind}", _echoing(tracks, clips, gain, delay, kind)
                )


def _noisy(track: Track, noise: bytes, snr_db: float) -> Heard:
    gain_db = 20 * math.log10(track.level() / mean_square_root(noise)) - snr_db
    return mixed(bytes(track.pcm), scaled(noise, gain_db)), track.speech, b""


def _echoing(tracks: Sequence[Track], clips: Sequence[Clip], gain: float, delay: float, kind: str) -> Iterator[Heard]:
    for index, track in enumerate(tracks):
        talk = agent(clips, 3 + index * CLIPS_A_CALL + len(clips) // 2, track.seconds)
        back = echo_of(talk, gain, delay)
        if kind == "alone":
            yield back, [], bytes(talk.pcm)
        else:
            yield mixed(bytes(track.pcm), back), track.speech, bytes(talk.pcm)


def _scene(name: str, calls: Iterable[Heard]) -> dict[str, object]:
    score = Score()
    for heard, speech, sent in calls:
        listen(heard, speech, sent, score)
    return score.to_json(name)


COLUMNS = {
    "missed_pct": "missed %",
    "start_p50": "start p50",
    "start_p95": "p95 ms",
    "onset_p50": "onset p50",
    "end_p50": "end p50",
    "end_p95": "p95 ms",
    "false_per_min": "false/min",
    "false_voice_pct": "false %",
    "merged_pct": "merged %",
    "splits": "splits",
    "cpu_ms_per_s": "cpu ms/s",
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.hearing.measure", description="How well the ear hears.")
    parser.add_argument("clips", type=Path)
    parser.add_argument("--half", choices=("a", "b", "all"), default="all")
    parser.add_argument("--only", default="", help="scenes with this in their name")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    write = sys.stdout.write
    if not asked.json:
        write(f"{'scene':34}" + "".join(f"{title:>11}" for title in COLUMNS.values()) + "\n")
    for row in scenes(asked.clips, asked.half, asked.only):
        if asked.json:
            write(json.dumps(row) + "\n")
        else:
            write(f"{row['scene']!s:34}" + "".join(f"{row[column]!s:>11}" for column in COLUMNS) + "\n")


if __name__ == "__main__":
    main()
