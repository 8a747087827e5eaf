"""A person with a browser calls an agent: a gateway process, the local model, headless Chromium; what came of it.

python -m tests.browser.call FOLDER        # figures as JSON, screenshots in FOLDER; exit code 1 where a bound is missed
"""

import asyncio
import base64
import json
import statistics
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from playwright.async_api import Page

from gateway.simulator.carrier import tone
from gateway.simulator.clips import Clip, load_clips
from gateway.simulator.local import LocalEngine
from gateway.simulator.local.wer import word_errors
from gateway.simulator.model import ModelOptions, ModelServer, SessionRecord, Spoken
from gateway.simulator.model.sound import SILENCE, level
from gateway.store.store import Store
from tests.browser.chromium import chromium, find_chromium, write_wav
from tests.gateway_process import Served, serving

__all__ = ["Figures", "Person", "a_person", "call_through", "missed"]

CLIP = "order-01-am_michael"
DIGITS = "42#"
AGENTS = """
agents:
  support:
    default: true
    instructions: You help customers of Acme.
    fallback: {say: Sorry. Please call later.}
"""
WITHIN_S = 30.0
FRAME = 160
BLOCK = 256
"""Samples over which the page measures how loud the answer is."""
HUM_S = 20
"""From here on the microphone hums, which is no speech but is heard."""
LEAST_ALIKE = 0.9
"""Of the envelope of what was sent and of what the page heard. NetEq stretches time, so it is never 1."""


@dataclass(slots=True)
class Person:
    """Somebody in front of the page."""

    page: Page
    served: Served
    model: ModelServer
    folder: Path

    @property
    def session(self) -> SessionRecord:
        return self.model.sessions[-1]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WITHIN_S):
            while not condition():  # noqa: ASYNC110 - the model's records have no events
                await asyncio.sleep(0.02)

    async def packets(self, name: str) -> bytes:
        """Return the payloads that the page "sent" or "received" so far, joined."""
        return base64.b64decode(await self.page.evaluate("name => packets(name)", name))

    async def see(self, name: str) -> None:
        """Keep what the page looks like: wide and light, wide and dark, narrow."""
        for scheme, width, height in (("light", 1100, 760), ("dark", 1100, 760), ("light", 390, 844)):
            await self.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            await self.page.set_viewport_size({"width": width, "height": height})
            await self.page.screenshot(path=self.folder / f"{name}-{scheme}-{width}.png")
        await self.page.set_viewport_size({"width": 1100, "height": 760})


@dataclass(slots=True)
class Figures:
    """What one call came to."""

    said: str = ""
    heard: str = ""
    """What the model understood, as the page shows it."""
    word_errors: int = -1
    codecs: list[str] = field(default_factory=list)
    packets_sent: int = 0
    packets_received: int = 0
    packets_lost: int = 0
    speech_frames_to_model: int = 0
    """Those that are not silence, up to the mute."""
    changed_to_model: int = -1
    """Of them, how many are not the packets of the page, in their order."""
    bytes_from_model: int = 0
    changed_from_model: int = -1
    """Of the answer's bytes, how many did not reach the page as they were."""
    envelope: float = 0.0
    """Correlation of the answer's loudness as sent and as played by the page."""
    digits: str = ""
    muted_ms: float = -1.0
    """Sound that the model still heard in a second after the mute."""
    unmuted_ms: float = 0.0
    """Sound that it heard in a second after that was taken back."""
    forced_replies: int = 0
    concealed_ms: int = -1
    end: str = ""


def missed(figures: Figures) -> list[str]:
    """Return the bounds that a call missed; none for a good one."""
    bounds = {
        "words": figures.word_errors == 0,
        "PCMU only": figures.codecs == ["audio/PCMU"],
        "packets both ways": min(figures.packets_sent, figures.packets_received) > 500,
        "speech reached the model": figures.speech_frames_to_model > 100,
        "0 packets changed towards the model": figures.changed_to_model == 0,
        "0 bytes changed towards the page": figures.bytes_from_model > 8000 and figures.changed_from_model == 0,
        "answer heard in the page": figures.envelope >= LEAST_ALIKE,
        "digits": figures.digits == DIGITS,
        "mute": 0 <= figures.muted_ms < 100 < figures.unmuted_ms,
        "force reply": figures.forced_replies == 1,
        "end": figures.end == "caller_hangup",
    }
    return [name for name, held in bounds.items() if not held]


@asynccontextmanager
async def a_person(folder: Path, microphone: bytes, **settings: str) -> AsyncIterator[Person]:
    """Put somebody in front of the page of a gateway of their own; `microphone` is mu-law."""
    program, wav = find_chromium(), folder / "microphone.wav"
    write_wav(wav, microphone)
    own = {"GATEWAY_BROWSER_PHONE": "true", "GATEWAY_ALLOW_UNSIGNED": "true"}
    async with (
        await LocalEngine.load() as engine,
        ModelServer(engine, ModelOptions(keep_audio=True)) as model,
        serving(folder, own | {"GATEWAY_MODEL_URL": model.url} | settings, AGENTS) as served,
        chromium(program, wav) as browser,
    ):
        page = await browser.new_page(viewport={"width": 1100, "height": 760})
        await page.add_init_script(path=Path(__file__).parent / "tap.js")
        await page.goto(f"{served.origin}/console")
        yield Person(page, served, model, folder)


async def call_through(folder: Path) -> Figures:
    """Make one call with everything in it."""
    clip = load_clips()[CLIP]
    before = SILENCE * 8000 + clip.audio
    microphone = before + SILENCE * (HUM_S * 8000 - len(before)) + tone(440, 60_000, 0.1)
    figures = Figures(said=clip.text)
    async with a_person(folder, microphone) as person:
        page = person.page
        await page.click("#call")
        await _talk(person, clip, figures)
        await _force(person, figures)
        await _mute(person, figures)
        for digit in DIGITS:
            await page.click(f"#keypad button:text-is('{digit}')")
        for digit in DIGITS:
            await page.wait_for_selector(f"#story .note:text-is('key {digit}')")
        await _count(person, figures)
        await page.click("#hang-up")
        await page.wait_for_selector("#story .note:has-text('Call ended')")
        await person.until(lambda: "browser stream" in person.served.log())
        figures.concealed_ms = _concealed_ms(person.served)
        person.served.process.terminate()
        await person.served.exit_code()
        async with Store.open(f"sqlite:///{folder / 'gateway.db'}") as store:
            (call,) = await store.list_calls()
            journal = await store.journal_of(call.call_id)
        figures.end = str(call.end_reason)
        figures.digits = "".join(str(entry.data["digit"]) for entry in journal if entry.kind == "Dtmf")
    return figures


async def _talk(person: Person, clip: Clip, figures: Figures) -> None:
    """The microphone says the clip, the agent answers, and the page has played all of it."""
    words = person.page.locator("#story .caller:not(.pending) p").first
    await words.wait_for()
    figures.heard = await words.inner_text()
    figures.word_errors, _ = word_errors(clip.text, figures.heard)
    await person.until(lambda: bool(person.session.spoken))
    answer = next(iter(person.session.spoken.values()))
    await _played(person, answer)
    await person.see("call")
    sent = bytes(answer.audio)
    received = await person.packets("received")
    figures.bytes_from_model = len(sent)
    figures.changed_from_model = 0 if sent in received else len(sent)
    loudness: list[float] = await person.page.evaluate("tapped.loudness")
    figures.envelope = _alike(_envelope(sent), loudness)


async def _played(person: Person, spoken: Spoken) -> None:
    """Wait until an item was generated and heard: its mark came back."""
    reply = person.session.reply_of(spoken.item_id)
    assert reply is not None
    await person.until(lambda: reply.status == "completed")
    whole = len(spoken.audio) / 8 - 20

    async with asyncio.timeout(WITHIN_S):
        while await _heard_ms(person, spoken.item_id) < whole:  # noqa: ASYNC110 - the page is asked
            await asyncio.sleep(0.1)
    await asyncio.sleep(0.5)  # the page's own jitter buffer


async def _heard_ms(person: Person, item_id: str) -> float:
    shown = await person.page.get_attribute(f"#story [data-item='{item_id}']", "data-heard-ms")
    return float(shown or 0)


async def _force(person: Person, figures: Figures) -> None:
    before = len(person.session.replies)
    await person.page.click("#force")
    await person.until(lambda: len(person.session.replies) > before and len(person.session.spoken) > 1)
    await _played(person, list(person.session.spoken.values())[-1])
    figures.forced_replies = len(person.session.replies) - before


async def _mute(person: Person, figures: Figures) -> None:
    sound = person.session.received.sound
    start = sound.sounding_ms
    await person.until(lambda: sound.sounding_ms > start + 500)
    heard = bytes(sound.audio)
    await person.page.click("#mute")
    await person.page.wait_for_selector("#story .note:has-text('you are muted')")
    await asyncio.sleep(0.2)
    figures.speech_frames_to_model, figures.changed_to_model = _changed(heard, await person.packets("sent"))
    figures.muted_ms = await _sounding_ms(person, 1.0)
    await person.see("muted")
    await person.page.click("#mute")
    await person.page.wait_for_selector("#story .note:has-text('heard again')")
    await asyncio.sleep(0.2)
    figures.unmuted_ms = await _sounding_ms(person, 1.0)


async def _sounding_ms(person: Person, seconds: float) -> float:
    sound = person.session.received.sound
    before = sound.sounding_ms
    await asyncio.sleep(seconds)
    return sound.sounding_ms - before


async def _count(person: Person, figures: Figures) -> None:
    ways = await person.page.evaluate("codecs()")
    figures.codecs = sorted({str(way["codec"]) for way in ways})
    figures.packets_sent = sum(way["packets"] for way in ways if way["way"] == "outbound-rtp")
    figures.packets_received = sum(way["packets"] for way in ways if way["way"] == "inbound-rtp")
    figures.packets_lost = sum(way["lost"] for way in ways)


def _changed(heard: bytes, sent: bytes) -> tuple[int, int]:
    """Return how many frames that are not silence the model heard, and how many of them the page did not send so."""
    frames, packets = _sounding_frames(heard), _sounding_frames(sent)
    if not frames or frames[0] not in packets:
        return len(frames), len(frames)
    begin = packets.index(frames[0])
    same = packets[begin : begin + len(frames)]
    return len(frames), sum(one != other for one, other in zip(frames, same, strict=False)) + len(frames) - len(same)


def _sounding_frames(audio: bytes) -> list[bytes]:
    frames = [audio[at : at + FRAME] for at in range(0, len(audio), FRAME)]
    return [frame for frame in frames if frame.strip(SILENCE)]


def _envelope(audio: bytes) -> list[float]:
    return [float(level(audio[at : at + BLOCK])) for at in range(0, len(audio), BLOCK)]


def _alike(sent: list[float], played: list[float]) -> float:
    """Return the best correlation of an envelope with any stretch of another."""
    count = len(sent)
    stretches = (played[at : at + count] for at in range(len(played) - count + 1))
    return max((statistics.correlation(sent, it) for it in stretches if len(set(it)) > 1), default=0.0)


def _concealed_ms(served: Served) -> int:
    line = next(str(line["event"]) for line in served.log_lines() if str(line["event"]).startswith("browser stream"))
    return int(line.partition("concealed_ms=")[2].partition(",")[0])


if __name__ == "__main__":
    place = Path(sys.argv[1]).absolute()
    place.mkdir(parents=True, exist_ok=True)
    result = asyncio.run(call_through(place))
    failed = missed(result)
    sys.stdout.write(json.dumps(asdict(result) | {"missed": failed}, indent=2) + "\n")
    sys.exit(1 if failed else 0)
