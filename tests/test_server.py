"""How the process goes away, and what the last caller is owed."""

import asyncio
from pathlib import Path

import uvicorn

from gateway.core.events import StopAsked
from gateway.server import DrainingServer
from tests.clock import run
from tests.faults.ends import open_media, voice_token, webhook
from tests.world import world


async def ends(server: DrainingServer) -> bool:
    """Return whether uvicorn's main loop would end at this tick."""
    return await server.on_tick(1)


def test_a_drain_lets_the_carrier_ask_what_follows_the_last_call_and_report_its_end(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path) as w, asyncio.timeout(60):
            server = DrainingServer(uvicorn.Config(w.host, log_config=None), w.gateway)  # type: ignore[arg-type]  # only its ticks run
            stream = await open_media(w)
            await stream.start(await voice_token(w))
            await stream.audio(50)
            assert not await ends(server)
            server.handle_exit(15, None)
            assert not await ends(server)
            (session,) = w.gateway.registry.sessions()
            session.feed(StopAsked("test"))
            await w.settled()
            assert not await ends(server)
            assert "Sorry. Please call later." in (await webhook(w, "/twilio/after?again=0")).text
            assert not await ends(server)
            await webhook(w, "/twilio/status", {"CallStatus": "completed"})
            assert await ends(server)

    run(main())


def test_a_drain_without_calls_ends_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path) as w:
            server = DrainingServer(uvicorn.Config(w.host, log_config=None), w.gateway)  # type: ignore[arg-type]  # only its ticks run
            assert not await ends(server)
            server.handle_exit(15, None)
            assert await ends(server)

    run(main())


def test_a_call_whose_end_was_reported_first_is_owed_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path) as w, asyncio.timeout(60):
            stream = await open_media(w)
            await stream.start(await voice_token(w))
            await stream.audio(5)
            await webhook(w, "/twilio/status", {"CallStatus": "completed"})
            await w.settled()
            assert not w.gateway.registry.owed

    run(main())
