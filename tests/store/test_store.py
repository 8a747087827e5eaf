"""What is written is read back, once, forward only, in order."""

import asyncio
import logging
import stat
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.store import CallEnd, CallRow, JournalEntry, StoreError
from gateway.store.store import Store
from tests.store.rows import OFFERED_AT, attempt, call, end, entry


def test_a_call_is_read_back_as_written(url: str) -> None:
    async def main() -> None:
        async with Store.open(url) as store:
            store.call_offered(call())
            store.call_updated("call-1", answered_at=OFFERED_AT + timedelta(seconds=1), recording_path="r/call-1.wav")
            usage = {"output": {"audio": 120, "text": 7}}
            store.call_ended(
                CallEnd("call-1", OFFERED_AT, "agent_hangup", 1500, "said goodbye", usage, Decimal("0.1101"))
            )
            await store.flush()
            found = await store.get_call("call-1")
        assert found is not None
        assert (found.offered_at, found.answered_at) == (OFFERED_AT, OFFERED_AT + timedelta(seconds=1))
        assert (found.end_reason, found.end_detail, found.duration_ms) == ("agent_hangup", "said goodbye", 1500)
        assert (found.usage, found.cost_usd, found.latency) == (usage, Decimal("0.1101"), None)
        assert found.recording_path == "r/call-1.wav"

    asyncio.run(main())


def test_figures_worked_out_after_the_end_are_added(url: str) -> None:
    async def main() -> None:
        async with Store.open(url) as store:
            store.call_offered(call())
            store.call_ended(end())
            store.call_updated("call-1", cost_usd=Decimal("1.25"), latency={"p50_ms": 780})
            await store.flush()
            found = await store.get_call("call-1")
        assert found is not None
        assert (found.end_reason, found.cost_usd, found.latency) == ("caller_hangup", Decimal("1.25"), {"p50_ms": 780})

    asyncio.run(main())


def test_the_first_end_wins_and_a_second_is_logged(url: str, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> str | None:
        async with Store.open(url) as store:
            store.call_offered(call())
            store.call_ended(end(reason="caller_hangup"))
            store.call_ended(end(reason="model_lost"))
            await store.flush()
            found = await store.get_call("call-1")
        return found.end_reason if found else None

    with caplog.at_level(logging.WARNING):
        assert asyncio.run(main()) == "caller_hangup"
    assert "end of call call-1 (model_lost) refused" in caplog.text


def test_the_journal_is_read_back_in_order(url: str) -> None:
    rows = [entry(seq) for seq in range(2_345)]

    async def main() -> list[JournalEntry]:
        async with Store.open(url) as store:
            store.call_offered(call())
            for row in rows:
                store.put(row)
            await store.flush()
            return await store.journal_of("call-1")

    assert asyncio.run(main()) == rows


def test_closing_writes_what_waits_also_when_the_body_fails(url: str) -> None:
    async def main() -> int:
        with pytest.raises(ZeroDivisionError):
            async with Store.open(url) as store:
                store.call_offered(call())
                store.put(entry(0))
                raise ZeroDivisionError
        async with Store.open(url) as store:
            return len(await store.journal_of("call-1"))

    assert asyncio.run(main()) == 1


def test_a_call_is_found_by_the_start_of_its_id(url: str) -> None:
    async def main() -> None:
        async with Store.open(url) as store:
            for call_id in ("abc", "abcd", "ABC", "b%1"):
                store.call_offered(call(call_id))
            await store.flush()
            exact, prefix = await store.get_call("abc"), await store.get_call("abcd")
            assert exact is not None and exact.call_id == "abc"
            assert prefix is not None and prefix.call_id == "abcd"
            assert await store.get_call("b_") is None
            assert await store.get_call("aBc") is None
            assert await store.get_call("") is None
            with pytest.raises(StoreError, match="several calls start with 'ab'"):
                await store.get_call("ab")

    asyncio.run(main())


def test_calls_are_listed_newest_first_and_in_pages(url: str) -> None:
    async def main() -> None:
        async with Store.open(url) as store:
            for minute in range(5):
                store.call_offered(call(f"call-{minute}", minute=minute))
            await store.flush()
            page = await store.list_calls(limit=2)
            assert [found.call_id for found in page] == ["call-4", "call-3"]
            page = await store.list_calls(limit=2, before=page[-1].offered_at)
            assert [found.call_id for found in page] == ["call-2", "call-1"]

    asyncio.run(main())


def test_an_attempt_is_created_once(url: str) -> None:
    async def main() -> None:
        async with Store.open(url) as store:
            assert await store.create_attempt(attempt()) is True
            assert await store.create_attempt(attempt()) is False
            found = await store.get_attempt("a-1:1")
            assert found is not None and found.state == "dialing"

    asyncio.run(main())


def test_a_callback_may_overtake_the_answer_to_the_dial(url: str) -> None:
    async def main() -> None:
        async with Store.open(url) as store:
            await store.create_attempt(attempt())
            store.attempt_updated("a-1:1", "ringing", sequence=2)
            store.attempt_updated("a-1:1", "placed", carrier_call_id="CA9")
            store.attempt_updated("a-1:1", "busy", carrier_call_id="CA-other", sequence=3, detail="486")
            await store.flush()
            found = await store.get_attempt("a-1:1")
        assert found is not None
        assert (found.state, found.carrier_call_id, found.carrier_sequence, found.detail) == ("busy", "CA9", 3, "486")

    asyncio.run(main())


def test_orphans_of_an_earlier_process_get_an_end_and_live_calls_do_not(url: str) -> None:
    async def main() -> None:
        async with Store.open(url, node="n1") as first:
            first.call_offered(call("lost"))
            first.put(entry(123, "lost"))
            first.call_offered(call("done"))
            first.call_ended(end("done"))
        async with Store.open(url, node="n1") as second:
            second.call_offered(call("live"))
            assert await second.close_orphans() == 1
            lost, live = await second.get_call("lost"), await second.get_call("live")
            assert lost is not None and live is not None
            assert (lost.end_reason, lost.duration_ms) == ("gateway_restarted", 12_300)
            assert lost.ended_at == OFFERED_AT + timedelta(seconds=12.3)
            assert live.end_reason is None
            assert await second.close_orphans() == 0

    asyncio.run(main())


def test_hostile_texts_do_not_keep_a_call_from_being_stored(url: str) -> None:
    nasty = "\x00\ud800'; DROP TABLE calls; --" + "x" * 10_000
    row = CallRow("call-1", "twilio", nasty, "inbound", nasty, nasty, nasty, OFFERED_AT)

    async def main() -> None:
        async with Store.open(url) as store:
            store.call_offered(row)
            store.put(JournalEntry("call-1", 0, 0.0, "<", "CallerSaid", {"text": nasty, "odd": "\u0000"}))
            store.call_ended(CallEnd("call-1", OFFERED_AT, "caller_hangup", 0, nasty))
            await store.flush()
            found = await store.get_call("call-1")
            assert found is not None
            assert found.end_detail is not None and found.end_detail.startswith("?'; DROP TABLE")
            assert (await store.journal_of("call-1"))[0].data["text"] == nasty
            assert store.dropped == 0

    asyncio.run(main())


def test_a_row_that_the_database_refuses_is_dropped_alone(url: str) -> None:
    cycle: dict[str, object] = {}
    cycle["self"] = cycle

    async def main() -> None:
        async with Store.open(url) as store:
            store.call_offered(call())
            for seq in range(50):
                store.put(entry(seq))
            store.put(entry(0, "never-offered"))
            store.put(JournalEntry("call-1", 50, 5.0, "=", "cycle", cycle))  # type: ignore[arg-type]
            store.put(entry(51))
            await store.flush()
            kept = [row.seq for row in await store.journal_of("call-1")]
            assert kept == [*range(50), 51]
            assert (store.dropped, store.healthy) == (2, True)

    asyncio.run(main())


def test_a_new_database_file_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()

    async def main() -> None:
        async with Store.open(f"sqlite:///{tmp_path / 'deep' / 'gateway.db'}") as store:
            store.call_offered(call())
            await store.flush()
            modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "deep").iterdir()}
        assert modes == {0o600}

    asyncio.run(main())


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("nonsense", "expected a database URL"),
        ("mysql://root:secret@host/db", "expected a"),
        ("sqlite:////proc/gateway.db", "cannot be opened"),
        ("sqlite:////proc/nowhere/gateway.db", "the folder /proc/nowhere of the database is missing"),
        ("postgresql://user:secret@127.0.0.1:1/db", "cannot be used"),
    ],
)
def test_a_database_that_cannot_be_used_stops_the_start_with_a_sentence(url: str, sentence: str) -> None:
    async def main() -> None:
        async with Store.open(url):
            pass

    with pytest.raises(ConfigError, match=sentence) as caught:
        asyncio.run(main())
    assert "secret" not in str(caught.value)
