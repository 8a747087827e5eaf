"""AudioSocket over the real application: who gets a UUID, what a connection with it is, and without."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlencode
from uuid import UUID, uuid4

import httpx2
import pytest

from gateway.carriers.audiosocket import AudioSocketCarrier
from gateway.carriers.audiosocket.server import MANNER, AudioSocketServer, Listen
from gateway.errors import ConfigError
from gateway.simulator.carriers.audiosocket import MOST_AHEAD_MS
from gateway.simulator.model import Scenario, ScriptedEngine
from gateway.simulator.world import World, world
from gateway.wire import PipeEnd, WireClosed, pipe
from tests.carriers.audiosocket.test_codec import frame
from tests.clock import run
from tests.world import AGENTS

URL = "https://gw.example.com/audiosocket/offer"
CALL = {"call": "1795332868.16", "from": "+14155550101", "to": "+14155550199", "again": "0", "result": "none"}
GOOD = ("asterisk", "pbx-secret")
SILENCE = frame(0x10, bytes(320))
DEFAULT = AGENTS.replace("    instructions", "    default: true\n    instructions")

pytestmark = pytest.mark.usefixtures("no_errors_logged")


def server_of(it: World) -> AudioSocketServer:
    (carrier,) = (one for one in it.gateway.carriers if isinstance(one, AudioSocketCarrier))
    return carrier.server


@asynccontextmanager
async def everything(folder: Path, **settings: object) -> AsyncIterator[World]:
    own: dict[str, object] = {"asterisk_password": "pbx-secret", "audiosocket_listen": "127.0.0.1:0"}
    async with world(folder, DEFAULT, ScriptedEngine(Scenario()), settings=own | settings) as it:
        yield it


def play(folder: Path, part: Callable[[World, "Connect"], Awaitable[None]], **settings: object) -> None:
    async def main() -> None:
        async with everything(folder, **settings) as it, asyncio.TaskGroup() as group:
            await part(it, Connect(it, group))

    run(main())


class Connect:
    """Opens connections without a network, so that the clock is ours."""

    def __init__(self, it: World, group: asyncio.TaskGroup) -> None:
        self._it = it
        self._group = group

    def __call__(self) -> PipeEnd:
        ours, theirs = pipe()
        self._group.create_task(server_of(self._it).serve(theirs))
        return ours

    async def call(self, who: str, first: bytes = SILENCE) -> PipeEnd:
        end = self()
        await end.send(frame(0x01, UUID(who).bytes))
        if first:
            await end.send(first)
        return end


async def ask(it: World, auth: tuple[str, str] | None = GOOD, **more: str) -> httpx2.Response:
    how = httpx2.BasicAuth(*auth) if auth is not None else httpx2.Auth()
    return await it.http.post(URL, data=CALL | more, auth=how)


async def received(end: PipeEnd, seconds: float) -> list[bytes]:
    """Return what comes in so much time, or until the close."""
    frames: list[bytes] = []
    try:
        async with asyncio.timeout(seconds):
            while True:
                one = await end.receive()
                frames.append(one if isinstance(one, bytes) else one.encode())
    except (TimeoutError, WireClosed):
        return frames


def test_a_call_gets_a_uuid_and_its_connection_speaks_at_20_ms(tmp_path: Path) -> None:
    async def part(it: World, connect: Connect) -> None:
        answer = await ask(it)
        assert answer.status_code == 200 and len(answer.text) == 36
        end = await connect.call(answer.text)
        frames = await received(end, 10.0)
        assert {one[:3] for one in frames} == {b"\x10\x01\x40"}
        assert abs(len(frames) - 500) <= 2
        assert any(one != SILENCE for one in frames)
        await end.close(1000)
        await it.settled()
        assert (it.record.carrier_call_id, it.record.end_reason) == (CALL["call"], "caller_hangup")
        assert (it.record.from_number, it.record.to_number) == (CALL["from"], CALL["to"])

    play(tmp_path, part)


def test_speech_leaves_a_little_before_its_time_and_no_earlier_than_asterisk_bears(tmp_path: Path) -> None:
    assert MANNER.ahead_frames * 20 <= MOST_AHEAD_MS

    async def part(it: World, connect: Connect) -> None:
        end = await connect.call((await ask(it)).text)
        at: list[tuple[float, bool]] = []
        while sum(speaks for _, speaks in at) < 20:
            one = await end.receive()
            at.append((asyncio.get_running_loop().time(), one != SILENCE))
        first = next(number for number, (_, speaks) in enumerate(at) if speaks)
        early_s = at[first - 1][0] + 0.02 * (len(at) - first) - at[-1][0]
        assert early_s == pytest.approx(0.02 * (MANNER.ahead_frames - 1), abs=0.001)
        await end.close(1000)

    play(tmp_path, part)


def test_a_uuid_is_good_for_one_connection(tmp_path: Path) -> None:
    async def part(it: World, connect: Connect) -> None:
        who = (await ask(it)).text
        first = await connect.call(who)
        await received(first, 1.0)
        assert await received(await connect.call(who), 5.0) == [frame(0x00)]
        await first.close(1000)
        await it.settled()
        assert len(it.store.calls) == 1

    play(tmp_path, part)


def test_a_uuid_is_good_for_a_minute(tmp_path: Path) -> None:
    async def part(it: World, connect: Connect) -> None:
        who = (await ask(it)).text
        await asyncio.sleep(61)
        assert await received(await connect.call(who), 5.0) == [frame(0x00)]

    play(tmp_path, part)


@pytest.mark.parametrize("auth", [None, ("asterisk", "wrong"), ("other", "pbx-secret")])
def test_nobody_gets_a_uuid_without_the_password(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, auth: tuple[str, str] | None
) -> None:
    async def part(it: World, connect: Connect) -> None:
        answer = await ask(it, auth)
        assert answer.status_code == 401 and "Basic" in answer.headers["www-authenticate"]
        assert not it.store.calls

    play(tmp_path, part)
    assert "refused an offer: it" in caplog.text and "GATEWAY_ASTERISK_PASSWORD" in caplog.text
    assert "pbx-secret" not in caplog.text and "wrong" not in caplog.text


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_variables_may_come_as_a_query(tmp_path: Path, method: str) -> None:
    async def part(it: World, connect: Connect) -> None:
        answer = await it.http.request(method, f"{URL}?{urlencode(CALL)}", auth=GOOD)
        assert len(answer.text) == 36

    play(tmp_path, part)


@pytest.mark.parametrize("call", ["", "..", "a b", "../../x", "x" * 300])
def test_what_cannot_be_a_channel_is_none(tmp_path: Path, call: str) -> None:
    async def part(it: World, connect: Connect) -> None:
        who = (await ask(it, call=call)).text
        assert it.record.carrier_call_id == who

    play(tmp_path, part)


def test_a_body_without_bound_is_refused(tmp_path: Path) -> None:
    async def part(it: World, connect: Connect) -> None:
        assert (await it.http.post(URL, content=b"x" * 10_000, auth=GOOD)).status_code == 413

    play(tmp_path, part)


def test_who_is_not_taken_is_told_how_to_go_on(tmp_path: Path) -> None:
    async def part(it: World, connect: Connect) -> None:
        assert (await ask(it, agent="nobody")).text == "apology:"
        who = (await ask(it)).text
        end = await connect.call(who)
        await received(end, 1.0)
        assert (await ask(it, call="2.1")).text == "apology:"
        await end.close(1000)
        await it.settled()
        assert (await ask(it)).text == "hangup"
        it.gateway.registry.drain()
        assert (await ask(it, call="3.1")).text == "again"
        assert (await ask(it, call="3.1", again="3")).text == "apology:+14155550100"

    play(tmp_path, part, max_calls=1)


def test_an_unknown_uuid_is_hung_up(tmp_path: Path) -> None:
    async def part(it: World, connect: Connect) -> None:
        assert await received(await connect.call(str(uuid4())), 5.0) == [frame(0x00)]
        assert not it.store.calls

    play(tmp_path, part)


def test_in_development_any_uuid_is_a_call_for_the_default_agent(tmp_path: Path) -> None:
    async def part(it: World, connect: Connect) -> None:
        end = await connect.call(str(uuid4()))
        assert any(one != SILENCE for one in await received(end, 5.0))
        await end.close(1000)
        await it.settled()
        assert it.record.agent == "support"

    play(tmp_path, part, public_url="http://127.0.0.1:8080", allow_unsigned=True, asterisk_password=None)


@pytest.mark.parametrize(
    "first", [b"", b"\x01", b"\x01\x00\x10half", SILENCE, frame(0x01, b"short"), b"\x10\xff\xff", b"\0" * 3000]
)
def test_who_does_not_say_a_uuid_within_five_seconds_is_gone(tmp_path: Path, first: bytes) -> None:
    async def part(it: World, connect: Connect) -> None:
        end = connect()
        if first:
            await end.send(first)
        began = asyncio.get_running_loop().time()
        assert await received(end, 30.0) == []
        assert asyncio.get_running_loop().time() - began < 5.1
        assert not it.store.calls

    play(tmp_path, part)


def test_a_caller_whose_line_is_mute_from_the_start_is_greeted(tmp_path: Path) -> None:
    async def part(it: World, connect: Connect) -> None:
        end = await connect.call((await ask(it)).text, first=b"")
        assert any(one != SILENCE for one in await received(end, 5.0))
        await end.close(1000)
        await it.settled()

    play(tmp_path, part)


@pytest.mark.parametrize(
    ("first", "answer"),
    [(frame(0x13, bytes(960)), b"\x13\x03\xc0"), (frame(0x10, b"\xff" * 160), b"\x10\x01\x40")],
    ids=["24 kHz", "mislabelled"],
)
def test_other_audio_is_answered_as_asterisk_takes_it(tmp_path: Path, first: bytes, answer: bytes) -> None:
    async def part(it: World, connect: Connect) -> None:
        end = await connect.call((await ask(it)).text, first)
        assert {one[:3] for one in await received(end, 1.0)} == {answer}
        await end.send(frame(0x00))
        await it.settled()
        assert it.record.end_reason == "caller_hangup"

    play(tmp_path, part)


def test_rubbish_in_a_call_ends_it_as_broken_and_nothing_else(tmp_path: Path) -> None:
    async def part(it: World, connect: Connect) -> None:
        end = await connect.call((await ask(it)).text)
        await received(end, 1.0)
        for _ in range(60):
            await end.send(frame(0x03, b"xx"))
        await received(end, 10.0)
        await it.settled()
        assert it.record.end_reason == "leg_broken"

    play(tmp_path, part)


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0:9092",
        "[::]:9092",
        "8.8.8.8:9092",
        "[2001:4860:4860::8888]:9092",
        "[::ffff:8.8.8.8]:9092",
        "[::ffff:0.0.0.0]:9092",
        "127.0.0.1:99999",
    ],
)
def test_it_does_not_listen_in_public(text: str) -> None:
    with pytest.raises(ConfigError, match="GATEWAY_AUDIOSOCKET_LISTEN"):
        Listen(text)


@pytest.mark.parametrize("text", ["127.0.0.1:9092", "10.1.2.3:1", "[::1]:9092", "192.168.0.5:9092", "[fd00::1]:2"])
def test_it_listens_on_loopback_and_private_networks(text: str) -> None:
    listen = Listen(text)
    assert f"{listen.host}:{listen.port}" == text.replace("[", "").replace("]", "")


def test_without_a_password_the_door_does_not_open(tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(BaseExceptionGroup) as failed:
            async with everything(tmp_path, asterisk_password=None):
                pass
        assert failed.group_contains(ConfigError, match="GATEWAY_ASTERISK_PASSWORD")

    run(main())


def test_a_call_over_a_real_connection(tmp_path: Path) -> None:
    async def main() -> None:
        async with everything(tmp_path) as it:
            server = server_of(it)
            assert server.port
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            who = (await ask(it)).text
            writer.write(frame(0x01, UUID(who).bytes) + SILENCE)
            async with asyncio.timeout(10):
                heard = await reader.readexactly(20 * 323)
                assert heard[:3] == b"\x10\x01\x40"
                writer.write(frame(0x00))
                await it.settled()
            writer.close()
            assert it.record.end_reason == "caller_hangup"
            idle_reader, idle_writer = await asyncio.open_connection("127.0.0.1", server.port)
        async with asyncio.timeout(5):
            assert await idle_reader.read() == b""
        idle_writer.close()

    asyncio.run(main())


def test_a_name_that_is_nobody_s_is_said(tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(ConfigError, match="no host"):
            await Listen("no-such-host.invalid:9092").addresses()

    asyncio.run(main())
