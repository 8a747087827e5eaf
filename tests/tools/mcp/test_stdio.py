"""Servers that are programs: the real thing over standard input and output, and programs that misbehave."""

import asyncio
import json
import logging
import os
import select
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.tools.mcp.stdio import MAX_LINE_BYTES, MAX_SKIPPED_BYTES, Lines
from gateway.tools.request import ToolOutcome

from .stage import journal_of, raw_program, section, shop_program, stage, told


@pytest.mark.e2e
def test_a_real_server_is_listed_called_and_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_KEY_SOURCE", "s3cret")
    monkeypatch.setenv("UNRELATED", "x")
    journal = tmp_path / "journal"
    shop = shop_program(journal, env={"SHOP_KEY": "env:SHOP_KEY_SOURCE", "MODE": "test"})

    async def main() -> None:
        async with stage(shop) as on:
            assert on.tools["lookup"].policy.effect == "read"
            assert on.tools["book"].policy.effect == "write"
            assert not on.tools["book"].policy.idempotent
            assert on.tools["dies_once_writing"].policy.idempotent
            assert on.tools["lookup"].description == "Look up an order."
            assert "wipe" not in on.tools
            assert (await on.call("gr__e_pr_fen")).output == '"ok"'
            found = await on.call("lookup", order_id="ü 1")
            assert found.ok
            assert json.loads(found.output) == {"order_id": "ü 1", "to": "Zoë, Αθήνα 🚚", "note": None}
            assert (await on.call("book", day="Monday", guests=None)).output == '"booked for Monday"'
            assert "no such order" in told(await on.call("fails"))
            shown = json.loads((await on.call("pictures")).output)
            assert shown.startswith("here\n(an image, which cannot be said")
            environment = json.loads((await on.call("environment")).output)
            assert environment["SHOP_KEY"] == "s3cret"
            assert set(environment) <= {"PATH", "HOME", "SHOP_KEY", "MODE", "LC_CTYPE", "PWD", "SHLVL", "_"}
            for size in (300_000, 3_000_000):
                assert "too long" in told(await on.call("huge", size=size))
            assert (await on.call("lookup", order_id="2")).ok

    asyncio.run(main())
    booked = next(line for line in journal_of(journal) if line["tool"] == "book")
    assert booked["arguments"] == {"day": "Monday", "guests": None}
    assert booked["meta"]["idempotency_key"] == "CA1:call_book"
    assert booked["meta"]["call"]["from"] == "+14155550123"


@pytest.mark.e2e
def test_a_server_that_dies_in_mid_call_is_asked_again_only_where_that_is_safe(tmp_path: Path) -> None:
    journal = tmp_path / "journal"

    async def main() -> list[ToolOutcome]:
        async with stage(shop_program(journal, timeout_s=60)) as on:
            return [await on.call(name) for name in ("dies_once_reading", "dies_writing", "dies_once_writing")]

    read, write, idempotent = asyncio.run(main())
    assert read.output == '"second time"'
    assert write.unknown
    assert "not known whether" in told(write)
    assert idempotent.output == '"done"'
    done = [line["tool"] for line in journal_of(journal)]
    assert done == ["dies_once_reading"] * 2 + ["dies_writing"] + ["dies_once_writing"] * 2
    assert len({line["meta"]["idempotency_key"] for line in journal_of(journal)[3:]}) == 1


@pytest.mark.e2e
def test_a_slow_call_ends_at_its_deadline_and_troubles_no_other(tmp_path: Path) -> None:
    journal = tmp_path / "journal"

    async def main() -> tuple[ToolOutcome, ToolOutcome, ToolOutcome]:
        slow = {name: {"timeout_s": 0.6} for name in ("slow_read", "slow_write")}
        async with stage(shop_program(journal, overrides=slow)) as on, asyncio.TaskGroup() as group:
            reading = group.create_task(on.call("slow_read"))
            writing = group.create_task(on.call("slow_write"))
            other = await on.call("lookup", order_id="1")
            return await reading, await writing, other

    read, write, other = asyncio.run(main())
    assert told(read) == "The system did not answer in time. Tell the caller so, and offer another way."
    assert not read.unknown
    assert write.unknown
    assert 600 <= write.elapsed_ms < 3000
    assert other.ok


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("exits", "it ended, or closed the connection, before it told its tools"),
        ("silent", "it did not tell its tools in time"),
        ("refuses", "no database"),
        ("bad list", "its answer cannot be read"),
        ("endless list", "its list of tools does not end"),
    ],
)
def test_a_server_that_does_not_start_stops_the_gateway_with_a_sentence(how: str, says: str) -> None:
    async def main() -> None:
        async with stage(raw_program(how, start_s=1.5 if how == "silent" else 30)):
            pass

    with pytest.raises(ConfigError) as refused:
        asyncio.run(main())
    assert f"MCP server shop does not start: {says}" in str(refused.value)
    assert "Traceback" not in str(refused.value)


def test_every_server_that_does_not_start_is_named_and_none_is_left(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    missing = section(name="missing", command="/no/such/program")
    secretless = section(name="secretless", command="/bin/true", env={"API_KEY": "env:NOT_SET_ANYWHERE"})

    async def main() -> None:
        async with stage(raw_program("fine", str(pids)), missing, secretless):
            pass

    with pytest.raises(ConfigError) as refused:
        asyncio.run(main())
    lines = str(refused.value).splitlines()
    assert lines == [
        "MCP server missing does not start: the command or its folder is not there",
        "MCP server secretless does not start: the environment variable NOT_SET_ANYWHERE is not set",
    ]
    _assert_gone(pids)


@pytest.mark.parametrize("how", ["fine", "stubborn"])
def test_no_process_is_left_behind_not_even_a_grandchild(how: str, tmp_path: Path) -> None:
    pids = tmp_path / "pids"

    async def main() -> None:
        async with stage(raw_program(how, str(pids))) as on:
            assert (await on.call("go", text="x")).output == '{"text":"x"}'

    asyncio.run(main())
    _assert_gone(pids)


def test_a_cancelled_process_leaves_no_program_behind_either(tmp_path: Path) -> None:
    pids = tmp_path / "pids"

    async def main() -> None:
        async with stage(raw_program("stubborn", str(pids))):
            task = asyncio.current_task()
            assert task is not None
            asyncio.get_running_loop().call_soon(task.cancel)
            asyncio.get_running_loop().call_later(0.1, task.cancel)  # and again while it stops
            await asyncio.Event().wait()

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())
    _assert_gone(pids)


def test_a_call_that_runs_when_the_gateway_stops_is_not_known_to_be_done() -> None:
    async def main() -> ToolOutcome:
        async with asyncio.TaskGroup() as calls:
            async with stage(raw_program("mute")) as on:
                running = calls.create_task(on.call("go"))
                assert (await on.call("go", text="answer")).ok  # so the one before it is there
        return await running

    outcome = asyncio.run(main())
    assert outcome.unknown


def test_a_killed_server_whose_child_holds_its_pipes_is_noticed_and_restarted(tmp_path: Path) -> None:
    pids = tmp_path / "pids"

    async def main() -> ToolOutcome:
        async with stage(raw_program("fine", str(pids), overrides={"go": {"effect": "read"}})) as on:
            os.kill(int(pids.read_text().split()[0]), 9)
            return await on.call("go", text=None)

    assert asyncio.run(main()).output == '{"text":null}'
    _assert_gone(pids)


@pytest.mark.parametrize(
    ("how", "effect", "message", "unknown"),
    [
        ("error", "read", "broken", False),
        ("error", "write", "not known whether it was done", True),
        ("bad arguments", "write", "day is in the past", False),
        ("nonsense", "write", "not known whether it was done", True),
        ("nonsense", "read", "The system reported a failure", False),
        ("endless line", "write", "not known whether it was done", True),
        ("deep", "write", "not known whether it was done", True),
    ],
)
def test_answers_that_are_no_results_are_told_apart(how: str, effect: str, message: str, unknown: bool) -> None:
    async def main() -> ToolOutcome:
        async with stage(raw_program(how, overrides={"go": {"effect": effect, "timeout_s": 5}})) as on:
            return await on.call("go")

    outcome = asyncio.run(main())
    assert message in told(outcome)
    assert outcome.unknown is unknown


def test_a_server_that_ends_at_the_newer_greeting_is_given_the_older_one() -> None:
    async def main() -> ToolOutcome:
        async with stage(raw_program("older")) as on:
            return await on.call("go", text="a")

    assert asyncio.run(main()).output == '{"text":"a"}'


def test_noise_beside_the_messages_does_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> ToolOutcome:
        async with stage(raw_program("chatty")) as on:
            await on.call("go", text="a")
            return await on.call("go", text="b")

    with caplog.at_level(logging.DEBUG, "gateway.tools.mcp"):
        assert asyncio.run(main()).output == '{"text":"b"}'
    said = [record for record in caplog.records if "says" in record.message]
    assert 0 < len(said) <= 200
    assert max(len(record.message) for record in said) < 1200


def test_a_list_that_changes_is_noted_and_changes_no_agent(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with stage(raw_program("notifies")) as on:
            await on.call("go")
            await on.call("go")
            assert list(on.tools) == [tool.name for tool in on.servers.tools("support")]

    asyncio.run(main())
    assert sum("offers other tools" in record.message for record in caplog.records) == 1


def test_two_agents_with_the_same_server_share_one_program(tmp_path: Path) -> None:
    from gateway.tools.mcp import McpServers
    from gateway.tools.netguard import NetGuard

    shared = raw_program("fine", str(tmp_path / "pids"))
    renamed = shared.model_copy(update={"prefix": "b_", "name": "other"})

    async def main() -> tuple[list[str], list[str], dict[str, bool]]:
        async with McpServers({"a": [shared], "b": [renamed]}, NetGuard()) as servers:
            a, b = ([tool.name for tool in servers.tools(agent)] for agent in "ab")
            return a, b, servers.up()

    assert asyncio.run(main()) == (["go"], ["b_go"], {"shop": True})


def test_lines_are_cut_bounded_and_a_skipped_one_still_names_its_call() -> None:
    lines = Lines()
    assert list(lines.feed(b'{"a":1}\n{"b"')) == [b'{"a":1}']
    assert list(lines.feed(b":2}\n\n")) == [b'{"b":2}']
    long = b'{"jsonrpc":"2.0","id":17,"result":' + b"x" * MAX_LINE_BYTES
    assert [found for at in range(0, len(long), 65536) for found in lines.feed(long[at : at + 65536])] == []
    assert list(lines.feed(b'"}\nnext\n')) == [17, b"next"]
    assert list(lines.feed(b"x" * (MAX_LINE_BYTES + 1) + b"\n{}\n")) == [b"{}"]


def test_a_line_that_never_ends_is_not_read_for_ever() -> None:
    lines = Lines()
    chunk = b"x" * 1024 * 1024
    with pytest.raises(ValueError, match="a line is over 64 MiB"):
        for _ in range(MAX_SKIPPED_BYTES // len(chunk) + 2):
            list(lines.feed(chunk))


def _assert_gone(pids: Path) -> None:
    for pid in pids.read_text().split():
        try:
            process = os.pidfd_open(int(pid))
        except ProcessLookupError:
            continue
        ended, _, _ = select.select([process], [], [], 5)  # SIGKILL was sent; dying takes its time
        os.close(process)
        assert ended
