"""Commands to a gateway process over real sockets: what follows them, in which order, and what is written down."""

import asyncio
import signal
import sys
from pathlib import Path

import httpx2
import pytest

from gateway.store.store import Store
from tests.gateway_process import clean_environment
from tests.operator.served import KEY, LiveShift, clear_ms, listening, mute_ms, shift, talking

pytestmark = pytest.mark.e2e
LIMIT_S = 60


async def noted(live: LiveShift) -> list[tuple[str, str]]:
    """End call and process; return what the journal says of operators: who and which action."""
    live.hang_up()
    live.served.process.send_signal(signal.SIGTERM)
    assert await live.served.exit_code() == 0
    async with Store.open(f"sqlite:///{live.served.folder / 'gateway.db'}") as store:
        journal = await store.journal_of(live.call_id)
    return [(str(entry.data["who"]), str(entry.data["action"])) for entry in journal if entry.kind == "operator"]


def test_a_cancelled_reply_is_cleared_and_nothing_of_it_is_heard_after_that(tmp_path: Path) -> None:
    async def main() -> None:
        async with asyncio.timeout(LIMIT_S), shift(tmp_path, listening()) as live:
            await clear_ms(live, 1)
            media = live.report.media
            heard = sum(len(piece.audio) for piece in media.heard)
            assert await live.ask("cancel-1", "cancel_reply") == "repeated"
            await live.ask("hang", "hang_up")
            await live.until(lambda: live.report.outcome == "completed")
            # The goodbye is all that was heard besides: no second of the cancelled story, which has more than ten.
            assert sum(len(piece.audio) for piece in media.heard) - heard < 8000 * 5
            async with httpx2.AsyncClient(base_url=live.served.origin, trust_env=False) as stranger:
                assert (await stranger.get("/v1/calls/live")).status_code == 401
            asked = ["say", "cancel_reply", "hang_up"]
            assert await noted(live) == [("night-shift", action) for action in asked]
            log = live.served.log()
            assert KEY not in log and "long story" not in log and "Traceback" not in log

    asyncio.run(main())


def test_a_muted_caller_becomes_silence_at_the_model(tmp_path: Path) -> None:
    async def main() -> None:
        async with asyncio.timeout(LIMIT_S), shift(tmp_path, talking()) as live:
            await mute_ms(live, 1)
            sound = live.session.received.sound
            sounding, ms = sound.sounding_ms, sound.ms
            await live.until(lambda: sound.ms > ms + 500)
            assert sound.sounding_ms == sounding
            assert await noted(live) == [("night-shift", "unmute"), ("night-shift", "mute_caller")]

    asyncio.run(main())


def test_the_command_line_finds_the_call_and_hangs_it_up(tmp_path: Path) -> None:
    async def gateway(live: LiveShift, *arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "operate", *arguments, "--url", live.served.origin),
            cwd=tmp_path,
            env=clean_environment(tmp_path, GATEWAY_CLIENT_KEY=KEY),
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
        assert process.returncode == 0
        return out.decode()

    async def main() -> None:
        async with asyncio.timeout(LIMIT_S), shift(tmp_path, listening()) as live:
            assert live.call_id in await gateway(live, "--list")
            assert await gateway(live, live.call_id, "hang_up") == "hang_up: done\n"
            await live.until(lambda: live.report.outcome == "completed")
            assert live.report.ended_by == "twiml"

    asyncio.run(main())
