"""A browser's call over real sockets: packets pass both ways untouched, keys come, and every way out is found."""

import asyncio
import base64
import gc
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiortc.codecs.g711 import PcmuDecoder, PcmuEncoder

from gateway.carriers.base import Draining, Full
from gateway.carriers.browser import leg
from gateway.carriers.browser.door import BrowserDoor
from gateway.carriers.browser.leg import HUNG_UP
from gateway.core.commands import EndReason, HangUp, PlayAudio, SendMark
from gateway.core.events import Dtmf, LegEnd, LegEnded, MarkPlayed
from gateway.errors import RemoteProtocolError
from tests.carriers.browser.page import Exchange, Page, wait_for

pytestmark = pytest.mark.usefixtures("no_errors_logged")

FRAMES = [os.urandom(160) for _ in range(25)]
"""Half a second that no encoder makes: what comes out unchanged went through none."""


@asynccontextmanager
async def a_call(calls: Exchange) -> AsyncIterator[Page]:
    door = BrowserDoor(calls, loopback=True)
    page = Page(FRAMES)
    async with door.running():
        placed = await door.call("support", await page.offer())
        await page.take(placed.answer)
        await wait_for(lambda: calls.leg is not None)
        try:
            yield page
        finally:
            await page.close()
            await wait_for(lambda: calls.over == [placed.carrier_call_id])


def during_a_call(work: Callable[[Exchange, Page], Awaitable[None]]) -> Exchange:
    calls = Exchange()

    async def main() -> None:
        async with a_call(calls) as page:
            await work(calls, page)

    asyncio.run(main())
    return calls


def test_packets_pass_both_ways_untouched_and_no_codec_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    worked: list[str] = []
    monkeypatch.setattr(PcmuDecoder, "decode", lambda *_: worked.append("decoder"))
    monkeypatch.setattr(PcmuEncoder, "encode", lambda *_: worked.append("encoder"))
    answer = os.urandom(160 * 20)

    async def work(calls: Exchange, page: Page) -> None:
        assert calls.leg is not None
        calls.leg.send(PlayAudio("item", base64.b64encode(answer).decode(), 400.0))
        calls.leg.send(SendMark("end"))
        await wait_for(lambda: calls.told(MarkPlayed) and FRAMES[-1] in map(base64.b64decode, calls.sounds))
        await wait_for(lambda: answer in b"".join(page.heard))

    calls = during_a_call(work)
    sounds = b"".join(map(base64.b64decode, calls.sounds))
    first = next(number for number, frame in enumerate(FRAMES) if frame in sounds)
    assert first <= 3, "what comes before the call is up is lost, no more"
    assert b"".join(FRAMES[first:]) in sounds
    assert not worked


def test_keys_come_by_the_data_channel_and_so_does_the_end() -> None:
    async def work(calls: Exchange, page: Page) -> None:
        await wait_for(lambda: page.channel.readyState == "open")
        page.say(type="key", digit="4")
        await wait_for(lambda: calls.told(Dtmf))
        page.say(type="hang_up")
        await wait_for(lambda: calls.told(LegEnded))

    calls = during_a_call(work)
    assert calls.told(Dtmf) == [Dtmf("4")]
    (ended,) = calls.told(LegEnded)
    assert isinstance(ended, LegEnded) and ended.reason is LegEnd.CALLER_HANGUP and ended.call_over


def test_a_page_that_goes_away_ends_the_call_as_lost() -> None:
    async def work(calls: Exchange, page: Page) -> None:
        await page.close()
        await wait_for(lambda: calls.told(LegEnded))

    (ended,) = during_a_call(work).told(LegEnded)
    assert isinstance(ended, LegEnded) and ended.reason is LegEnd.SOCKET_LOST


def test_a_browser_that_is_killed_is_noticed_and_one_that_is_quiet_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leg, "GONE_S", 3.0)
    monkeypatch.setattr(leg, "LOOK_S", 0.1)

    async def work(calls: Exchange, page: Page) -> None:
        await asyncio.sleep(4.5)
        assert not calls.told(LegEnded), "its microphone was silent all the time"
        await page.vanish()
        await wait_for(lambda: calls.told(LegEnded))

    (ended,) = during_a_call(work).told(LegEnded)
    assert isinstance(ended, LegEnded) and ended.reason is LegEnd.SOCKET_LOST
    assert "nothing came" in ended.detail


def test_our_hang_up_closes_the_connection_and_is_told_once_it_is_closed() -> None:
    async def work(calls: Exchange, page: Page) -> None:
        assert calls.leg is not None
        calls.leg.send(HangUp(EndReason.AGENT_HANGUP))
        await wait_for(lambda: calls.over)

    assert during_a_call(work).told(LegEnded) == [HUNG_UP]


def test_a_stopping_gateway_cuts_its_browsers() -> None:
    calls = Exchange()

    async def main() -> None:
        page = Page(FRAMES)
        offer = await page.offer()
        door = BrowserDoor(calls, loopback=True)
        async with door.running():
            await page.take((await door.call("", offer)).answer)
            await wait_for(lambda: calls.leg is not None)
        await page.close()
        with pytest.raises(Full):
            await door.call("", offer)

    asyncio.run(main())
    assert not calls.over, "the gateway ends its calls itself"


def test_a_call_that_rings_while_the_gateway_stops_leaves_nothing_open() -> None:
    async def main() -> None:
        page, door = Page([]), BrowserDoor(Exchange(), loopback=True)
        offer = await page.offer()
        async with door.running():
            await door.call("", offer)
        await page.close()

    asyncio.run(main())
    gc.collect()  # an open socket is a warning now, and warnings are errors


def test_no_more_browsers_than_asked_for_and_a_refusal_leaves_nothing() -> None:
    async def main() -> None:
        calls = Exchange(refuse=Draining("going away"))
        page = Page([])
        offer = await page.offer()
        door = BrowserDoor(calls, loopback=True, most=1)
        async with door.running():
            with pytest.raises(Draining):
                await door.call("", offer)
            with pytest.raises(RemoteProtocolError):
                await door.call("", "v=0\n")
            calls.refuse = None
            await door.call("", offer)
            with pytest.raises(Full):
                await door.call("", offer)
        await page.close()

    asyncio.run(main())
