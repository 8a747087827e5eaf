"""The same network over real sockets, changed by the official Twilio client."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
import uvicorn
from starlette.applications import Starlette
from twilio.base.exceptions import TwilioRestException  # type: ignore[import-untyped, unused-ignore]
from twilio.http.http_client import TwilioHttpClient  # type: ignore[import-untyped, unused-ignore]
from twilio.rest import Client  # type: ignore[import-untyped, unused-ignore]

from gateway.simulator.asgi import UpgradeRefused, connect_websocket
from gateway.simulator.carrier import Callee, HangUp, Pause, Script, TwilioNetwork, TwilioRest, Wait
from gateway.wire import WireClosed
from tests.simulator.carrier.application import ACCOUNT, GOODBYE, ORIGIN, TOKEN, Application, Peer, plan, silent
from tests.simulator.carrier.test_calls import SPEECH, greet

pytestmark = pytest.mark.e2e


@asynccontextmanager
async def serving(app: Starlette) -> AsyncIterator[str]:
    """Serve on a free loopback port; yield the origin."""
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, ws="websockets-sansio")
    server = uvicorn.Server(config)
    started = asyncio.Event()
    startup = server.startup

    async def announce(sockets: Any = None) -> None:
        await startup(sockets=sockets)
        started.set()

    server.startup = announce  # type: ignore[method-assign]
    async with asyncio.TaskGroup() as group:
        group.create_task(server._serve())
        async with asyncio.timeout(10):
            await started.wait()
        port = server.servers[0].sockets[0].getsockname()[1]
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True


class Elsewhere(TwilioHttpClient):  # type: ignore[misc]
    """The official client's transport, sent to another origin."""

    def __init__(self, origin: str) -> None:
        super().__init__(timeout=10)
        self.origin = origin

    def request(self, method: str, url: str, *args: Any, **more: Any) -> Any:
        return super().request(method, url.replace("https://api.twilio.com", self.origin), *args, **more)


def test_a_call_over_loopback_sockets_keeps_its_clock() -> None:
    async def main() -> None:
        application = Application(greet)
        async with serving(application.app) as origin, httpx2.AsyncClient() as http:
            twilio = TwilioNetwork(ACCOUNT, TOKEN, http, connect_websocket, route={ORIGIN: origin})
            report = await twilio.call(plan(Script([Wait("agent_done", quiet_ms=200), HangUp()])))
        assert report.media.played_bytes() == SPEECH
        assert (report.outcome, report.warnings) == ("completed", [])
        assert [mark.detail for mark in report.media.marks] == ["played"]

    asyncio.run(main())


def test_a_refused_upgrade_names_the_status() -> None:
    async def main() -> None:
        async with serving(Application(refuse_upgrade=True).app) as origin:
            with pytest.raises(UpgradeRefused) as refused:
                await connect_websocket(origin.replace("http", "ws") + "/nowhere", {})
        assert refused.value.status == 403
        with pytest.raises(OSError):
            await connect_websocket(origin.replace("http", "ws") + "/media", {})

    asyncio.run(main())


def test_a_closed_socket_gives_its_code() -> None:
    async def bye(peer: Any) -> None:
        await peer.socket.close(1008, "no")

    async def main() -> None:
        async with serving(Application(bye).app) as origin, httpx2.AsyncClient() as http:
            network = TwilioNetwork(ACCOUNT, TOKEN, http, connect_websocket)
            headers = {"x-twilio-signature": network.sign("wss://gw.example.com/media")}
            socket = await connect_websocket(origin.replace("http", "ws") + "/media", headers)
            with pytest.raises(WireClosed) as closed:
                await socket.receive()
            await socket.close()
        assert (closed.value.code, closed.value.reason) == (1008, "no")

    asyncio.run(main())


def test_the_official_client_places_changes_and_ends_calls() -> None:
    async def main() -> None:
        started = asyncio.Event()

        async def listen(peer: Peer) -> None:
            await peer.until("media")
            started.set()
            await silent(peer)

        application = Application(listen)
        async with serving(application.app) as origin, httpx2.AsyncClient() as http:
            twilio = TwilioNetwork(ACCOUNT, TOKEN, http, connect_websocket, route={ORIGIN: origin})
            callee = Callee(ring_s=0.05, script=Script([Pause(30.0)]))
            async with serving(TwilioRest(twilio, lambda _: callee).app) as api:
                client = Client(ACCOUNT, TOKEN, http_client=Elsewhere(api))
                await use(client, twilio, started)
        assert application.forms("/voice")[0]["Direction"] == "outbound-api"

    asyncio.run(main())


async def use(client: Client, twilio: TwilioNetwork, started: asyncio.Event) -> None:
    party = {"to": "+14155550123", "from_": "+14155550199"}
    call = await asyncio.to_thread(client.calls.create, **party, url=f"{ORIGIN}/voice")
    assert (call.status, call.direction) == ("queued", "outbound-api")
    live = twilio.calls[call.sid]
    async with asyncio.timeout(10):
        await started.wait()
    assert (await asyncio.to_thread(client.calls(call.sid).fetch)).status == "in-progress"
    await asyncio.to_thread(client.calls(call.sid).update, twiml=GOODBYE)
    await asyncio.to_thread(client.calls(call.sid).update, status="completed")
    async with asyncio.timeout(10):
        await live.finished()
    with pytest.raises(TwilioRestException) as gone:
        await asyncio.to_thread(client.calls(call.sid).update, status="completed")
    assert (gone.value.status, gone.value.code) == (404, 20404)
    (listed,) = await asyncio.to_thread(client.calls.list, to="+14155550123", limit=5)
    assert (listed.sid, listed.status) == (call.sid, "completed")
    account = await asyncio.to_thread(client.api.accounts(ACCOUNT).fetch)
    assert account.status == "active"
