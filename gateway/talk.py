"""`gateway talk`: the teaching client (`talkclient.py`) with a microphone and a speaker, or with two files."""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from rich.console import Console
from rich.text import Text
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from gateway import talkclient
from gateway.agents import DEFAULT_MODEL
from gateway.config import load_settings
from gateway.errors import ConfigError, GatewayError, ModelError
from gateway.sound import FileMicrophone, FileSpeaker, Sounds, read_speech

__all__ = ["Conversation", "converse", "talk"]

OUTPUT = Path("talk-output.wav")
STYLES = {"you": "bold blue", "agent": "bold green", "tool": "bold yellow", "error": "bold red"}


@dataclass(slots=True)
class Conversation:
    """What was said, in the order in which it was told."""

    lines: list[tuple[str, str]] = field(default_factory=list)
    show: Callable[[str, str], None] | None = None

    def tell(self, who: str, text: str) -> None:
        clean = "".join(letter if letter.isprintable() else " " for letter in text)
        self.lines.append((who, clean))
        if self.show is not None:
            self.show(who, clean)

    def of(self, who: str) -> list[str]:
        return [text for speaker, text in self.lines if speaker == who]

    @property
    def ok(self) -> bool:
        """Whether the model answered, without an error."""
        return bool(self.of("agent")) and not self.of("error")


def talk(wav: Path | None, url: str | None, *, live: bool, as_json: bool) -> int:
    """Talk, and return the exit code: 0 when the model answered. Raises `ConfigError`, `ModelError`."""
    console = Console(quiet=as_json)
    conversation = Conversation()
    if not as_json:
        conversation.show = lambda who, text: console.print(
            Text.assemble((f"{who:<6}", STYLES.get(who, "")), text), soft_wrap=True
        )
    try:
        output = asyncio.run(_talk(wav, url, live, conversation))
    except BaseExceptionGroup as failed:
        raise _cause(failed) from None
    if as_json:
        said = {name: conversation.of(who) for name, who in _NAMES.items()}
        document = {"ok": conversation.ok, **said, "output": str(output) if output is not None else None}
        sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    elif output is not None:
        console.print(f"what you would have heard: {output}", soft_wrap=True)
    if not conversation.ok:
        sys.stderr.write("gateway: the model gave no answer\n" if not conversation.of("error") else "")
    return 0 if conversation.ok else 1


_NAMES = {"you": "you", "agent": "agent", "tools": "tool", "errors": "error"}


async def _talk(wav: Path | None, url: str | None, live: bool, conversation: Conversation) -> Path | None:
    async with AsyncExitStack() as stack:
        if wav is None:
            sounds = stack.enter_context(Sounds())
            address, headers = await _reach(url, live, stack, conversation)
            conversation.tell(
                "note", "speak now, with a headset: from a loudspeaker the agent would hear itself; Ctrl-C ends it"
            )
            await converse(address, headers, sounds.frames(), sounds, conversation)
            return None
        speech = read_speech(wav)
        address, headers = await _reach(url, live, stack, conversation)
        speaker = FileSpeaker()
        try:
            await converse(address, headers, FileMicrophone(speech, speaker).frames(), speaker, conversation)
        finally:
            speaker.write(OUTPUT, speech)
        return OUTPUT


async def converse(
    url: str,
    headers: Mapping[str, str],
    microphone: AsyncIterator[bytes],
    speaker: talkclient.Speaker,
    conversation: Conversation,
) -> None:
    """Run the client. Raises `ModelError` when there is no such server or it goes away."""
    try:
        await talkclient.talk(url, headers, microphone, speaker, conversation.tell)
    except (OSError, InvalidHandshake, InvalidURI) as failed:
        raise ModelError(f"no Realtime server answers at {url}: {_words(failed)}") from None
    except ConnectionClosed as closed:
        raise ModelError(f"the server closed the connection: {closed}") from None
    except BaseExceptionGroup as failed:
        closed_group = failed.subgroup(ConnectionClosed)
        if closed_group is None:
            raise
        raise ModelError(f"the server closed the connection: {_cause(closed_group)}") from None


async def _reach(
    url: str | None, live: bool, stack: AsyncExitStack, conversation: Conversation
) -> tuple[str, Mapping[str, str]]:
    """Return where the model is and what lets us in; a local one is started where none is asked for or configured."""
    settings = load_settings()
    if live and settings.openai_api_key is None:
        raise ConfigError("--live talks to the real model: set OPENAI_API_KEY")
    if live and url is not None:
        raise ConfigError("give --live or --url, not both")
    if url is not None:
        # A key is for the configured server; another address gets none.
        return url if "model=" in url else f"{url}{'&' if '?' in url else '?'}model={DEFAULT_MODEL}", {}
    if live or "model_url" in settings.model_fields_set:
        if not live:
            conversation.tell("note", f"talking to {urlsplit(settings.model_url).netloc} (GATEWAY_MODEL_URL)")
        return settings.model_endpoint(DEFAULT_MODEL), settings.model_headers()
    from gateway.simulator.local import LocalEngine
    from gateway.simulator.model import ModelServer

    engine = await stack.enter_async_context(await LocalEngine.load())
    server = await stack.enter_async_context(ModelServer(engine))
    return f"{server.url}?model={DEFAULT_MODEL}", {}


def _words(failed: Exception) -> str:
    """Return what happened without the number that the system gives it."""
    return re.sub(r"^(?:\[Errno -?\d+\] )+", "", str(failed)) or type(failed).__name__


def _cause(failed: BaseExceptionGroup[BaseException]) -> BaseException:
    ours = failed.subgroup(GatewayError)
    first: BaseException = ours if ours is not None else failed
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first
