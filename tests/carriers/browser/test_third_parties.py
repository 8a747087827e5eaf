"""An offer that names somebody else sends them nothing, and one that nobody follows up is forgotten."""

import asyncio
import re
import socket

import pytest

from gateway.carriers.browser import door as doors
from gateway.carriers.browser.door import BrowserDoor
from tests.carriers.browser.page import Exchange, Page, wait_for

pytestmark = pytest.mark.usefixtures("no_errors_logged")

LISTEN_S = 1.5
"""Connectivity checks begin at once, and are repeated from half a second on."""


def naming(offer: str, port: int) -> str:
    """Have every line of an offer that holds an address name a port of this machine."""
    told = re.sub(r"(?m)^a=candidate:.*\r\n|^a=end-of-candidates\r\n|^a=rtcp:.*\r\n", "", offer)
    told = re.sub(r"(?m)^c=IN IP4 .*$", "c=IN IP4 127.0.0.1\r", told)
    told = re.sub(r"(?m)^m=(audio|application) [0-9]+ ", rf"m=\1 {port} ", told)
    kinds = (("udp", "typ host"), ("udp", "typ srflx raddr 127.0.0.1 rport 9"), ("tcp", "typ host tcptype passive"))
    candidates = "".join(
        f"a=candidate:{number} 1 {transport} 2130706431 127.0.0.1 {port} {rest}\r\n"
        for number, (transport, rest) in enumerate(kinds)
    )
    victims = f"a=rtcp:{port} IN IP4 127.0.0.1\r\na=rtcp-fb:0 nack\r\n{candidates}"
    return re.sub(r"(?m)^a=mid:.*\r\n", lambda mid: mid.group() + victims, told)


def test_an_offer_that_names_a_third_party_sends_them_nothing() -> None:
    heard: list[bytes] = []

    class ThirdParty(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: object) -> None:
            heard.append(data)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(ThirdParty, local_addr=("127.0.0.1", 0))
        with socket.create_server(("127.0.0.1", transport.get_extra_info("sockname")[1])) as tcp:
            tcp.setblocking(False)
            page, calls = Page([]), Exchange()
            offer = naming(await page.offer(), tcp.getsockname()[1])
            door = BrowserDoor(calls, loopback=True)
            async with door.running():
                answer = (await door.call("", offer)).answer
                await asyncio.sleep(LISTEN_S)  # nothing is awaited: that nothing comes is the test
            assert "a=candidate" in answer
            with pytest.raises(BlockingIOError):
                tcp.accept()
            await page.close()
        transport.close()

    asyncio.run(main())
    assert heard == []


def test_a_browser_that_never_connects_gives_its_place_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "CONNECT_S", 0.2)

    async def main() -> None:
        page, calls = Page([]), Exchange()
        offer = await page.offer()
        door = BrowserDoor(calls, loopback=True, most=1)
        async with door.running():
            first = await door.call("", offer)
            await wait_for(lambda: calls.over == [first.carrier_call_id])
            await wait_for(lambda: not door._peers)
            await door.call("", offer)
        await page.close()

    asyncio.run(main())
