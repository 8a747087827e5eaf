"""Token counts as the service bills them: 600 a minute of caller audio, 1200 of assistant audio, text by length.

The whole conversation is input again for every response; the longest unchanged prefix is cached.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.simulator.model.conversation import Item
from gateway.simulator.model.shapes import Json

__all__ = ["Meter", "audio_out_tokens", "text_tokens"]

CALLER_MS_PER_TOKEN = 100
ASSISTANT_MS_PER_TOKEN = 50
CHARACTERS_PER_TOKEN = 4


@dataclass(slots=True, frozen=True)
class _Share:
    """What one part of the input costs; `key` is equal as long as the part is unchanged."""

    key: tuple[str, int]
    text: int
    audio: int


def text_tokens(text: str) -> int:
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def audio_out_tokens(audio_ms: int) -> int:
    return -(-audio_ms // ASSISTANT_MS_PER_TOKEN)


class Meter:
    """Counts one session's input and remembers the last prompt, which is what the cache holds."""

    def __init__(self) -> None:
        self._cached: list[_Share] = []

    def measure(
        self, instructions: str, tools: Sequence[Json], items: Sequence[Item], *, in_conversation: bool
    ) -> Json:
        """Return `input_tokens` and `input_token_details` for a prompt. Call once, when a response starts."""
        head = instructions + (json.dumps(list(tools)) if tools else "")
        prompt = [_Share((head, 0), text_tokens(head), 0), *(_share(item) for item in items)]
        hits = []
        for now, before in zip(prompt, self._cached, strict=False):
            if now.key != before.key:
                break
            hits.append(now)
        if in_conversation:
            self._cached = prompt
        text, audio = sum(share.text for share in prompt), sum(share.audio for share in prompt)
        cached_text, cached_audio = sum(share.text for share in hits), sum(share.audio for share in hits)
        details = {
            "text_tokens": text,
            "audio_tokens": audio,
            "image_tokens": 0,
            "cached_tokens": cached_text + cached_audio,
            "cached_tokens_details": {"text_tokens": cached_text, "audio_tokens": cached_audio, "image_tokens": 0},
        }
        return {"input_tokens": text + audio, "input_token_details": details}


def _share(item: Item) -> _Share:
    per_token = ASSISTANT_MS_PER_TOKEN if item.role == "assistant" else CALLER_MS_PER_TOKEN
    audio = -(-item.audio_ms // per_token)
    return _Share((item.id, item.revision), sum(text_tokens(text) for text in _texts(item)), audio)


def _texts(item: Item) -> list[str]:
    texts = [part.get("text") or "" for part in item.wire.get("content", ())]
    if item.spoken:
        texts += [part.get("transcript") or "" for part in item.wire["content"]]
    return texts + [str(item.wire[key]) for key in ("name", "arguments", "output") if key in item.wire]
