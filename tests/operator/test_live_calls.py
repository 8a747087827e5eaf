"""Operators act on whole calls, on the virtual clock: all the real code from the request to the caller's ear."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import httpx2
import pytest

from gateway.apikeys import named_hash
from gateway.simulator.carrier import CallReport, Dtmf, Pause, Say, Script, Wait, tone
from gateway.simulator.model import Scenario, ScriptedEngine
from gateway.simulator.world import World, world
from tests.clock import run
from tests.faults.calls import until
from tests.operator.calls import KEY
from tests.world import AGENTS, PUBLIC

CARD = "4111111111111111"
LONG = "This is a long story about an order that was sent on Monday and came on Friday. " * 3
STORY = Scenario.model_validate({"greeting": "Hello.", "turns": [{"heard": "tell me", "say": LONG}], "default": "Yes."})
LISTEN = Script([Wait("agent_done"), Pause(60)])
ASK = Script([Wait("agent_done"), Say(tone(440, 900)), Pause(60)])


@dataclass
class Shift:
    """An operator in front of one live call."""

    w: World
    call_id: str
    answered_s: float
    """Loop time at which the clock of the reports began, to a frame or two."""

    async def ask(
        self, action: str, fields: Mapping[str, object] | None = None, *, id: str = "", call_id: str = ""
    ) -> httpx2.Response:
        return await self.w.http.post(
            f"{PUBLIC}/v1/calls/{call_id or self.call_id}/commands",
            json={"id": id or f"for-{action}", "action": action, **(fields or {})},
            headers=HEADERS,
        )

    async def done(self, action: str, *, id: str = "", **fields: object) -> None:
        answer = await self.ask(action, fields, id=id)
        assert (answer.status_code, answer.json()["outcome"]) == (200, "done"), answer.text

    async def refused(self, action: str, *, id: str = "", **fields: object) -> str:
        answer = await self.ask(action, fields, id=id)
        assert answer.status_code == 409, answer.text
        return str(answer.json()["error"]["message"])

    @property
    def report(self) -> CallReport:
        (call,) = self.w.network.calls.values()
        return call.report

    @property
    def words(self) -> str:
        """Every text that the model was sent."""
        return "\n".join(self.w.session.received.written)

    async def quiet(self) -> None:
        """Wait until the caller has heard the agent and it has fallen silent."""
        await until(lambda: bool(self.report.media.heard))
        await until(lambda: self.now - self.report.media.heard[-1].end_s > 1.0)

    async def speaking(self, turns: int) -> None:
        """Wait until the caller has heard half a second of the agent's answer of this number."""
        await until(lambda: len(self.report.media.heard) >= turns and len(self.report.media.heard[-1].audio) > 4000)

    @property
    def now(self) -> float:
        """Seconds since the call was answered: the clock of the reports."""
        return asyncio.get_running_loop().time() - self.answered_s


HEADERS = {"authorization": f"Bearer {KEY}"}
Work: TypeAlias = Callable[[Shift], Coroutine[Any, Any, None]]


def during_a_call(folder: Path, work: Work, script: Script = LISTEN, agents: str = AGENTS) -> World:
    """Run a call until `work` has been done beside it; return the world, whose records can be looked at."""

    async def main() -> World:
        settings = {"api_keys": (named_hash("night-shift", KEY),), "node_name": "node-1"}
        engine = ScriptedEngine(STORY)
        async with world(folder, agents, engine, STORY.server, settings=settings) as w, asyncio.TaskGroup() as group:
            call = group.create_task(w.call(script))
            await until(lambda: bool(w.gateway.registry.calls()))
            (live,) = w.gateway.registry.calls()
            await until(lambda: live.session.call.phase.value == "active")
            (caller,) = w.network.calls.values()
            await until(lambda: bool(caller.report.media.heard))
            answered_s = asyncio.get_running_loop().time() - caller.report.media.heard[0].end_s
            await work(Shift(w, live.session.call_id, answered_s))
            caller.hang_up()
            await call
            await w.settled()
        return w

    return run(main())


def test_a_live_call_is_listed_with_masked_numbers_until_it_ends(tmp_path: Path) -> None:
    async def work(shift: Shift) -> None:
        await shift.quiet()
        listed = (await shift.w.http.get(f"{PUBLIC}/v1/calls/live", headers=HEADERS)).json()
        (view,) = listed["calls"]
        assert (listed["node"], view["call_id"], view["agent"]) == ("node-1", shift.call_id, "support")
        assert (view["direction"], view["phase"]) == ("inbound", "active")
        assert 0 < view["seconds"] < 5
        assert view["from_number"] == "+1•••0101" and view["to_number"] == "+1•••0199"
        await shift.done("hang_up")
        await shift.w.settled()
        listed = (await shift.w.http.get(f"{PUBLIC}/v1/calls/live", headers=HEADERS)).json()
        assert listed["calls"] == []

    during_a_call(tmp_path, work)


def test_a_call_that_has_ended_is_410_and_one_of_another_node_404(tmp_path: Path) -> None:
    async def work(shift: Shift) -> None:
        answer = await shift.ask("unmute", call_id="call_00000000000000000000")
        assert answer.status_code == 404 and "another node" in answer.json()["error"]["message"]
        await shift.done("hang_up")
        await shift.w.settled()
        for command_id in ("for-hang_up", "new"):
            answer = await shift.ask("hang_up", id=command_id)
            assert (answer.status_code, answer.json()["error"]["code"]) == (410, "ended")

    w = during_a_call(tmp_path, work)
    assert w.record.end_reason == "operator_hangup"


def test_a_hang_up_is_heard_to_the_end_of_its_goodbye(tmp_path: Path) -> None:
    async def work(shift: Shift) -> None:
        await shift.quiet()
        before = len(shift.report.media.heard)
        await shift.done("hang_up")
        await shift.w.settled()
        assert len(shift.report.media.heard) == before + 1
        assert shift.report.duration_s - shift.report.media.heard[-1].end_s <= 1.0

    during_a_call(tmp_path, work)


def test_a_muted_caller_is_silence_to_the_model_until_unmuted(tmp_path: Path) -> None:
    async def work(shift: Shift) -> None:
        await shift.quiet()
        sound = shift.w.session.received.sound
        await shift.done("mute_caller")
        before, frames = sound.sounding_ms, sound.ms
        await until(lambda: sound.ms - frames > 3000)
        assert sound.sounding_ms == before
        await shift.done("unmute")
        await until(lambda: sound.sounding_ms > before)

    talks = Script([Wait("agent_done"), Pause(1.5), Say(tone(440, 20_000)), Pause(60)])
    during_a_call(tmp_path, work, talks)


def test_a_cancelled_reply_is_cleared_at_the_carrier_and_not_heard_on(tmp_path: Path) -> None:
    async def work(shift: Shift) -> None:
        await shift.speaking(2)
        asked_s = shift.now
        await shift.done("cancel_reply")
        await until(lambda: bool(shift.report.media.clears))
        assert shift.report.media.clears[0].at_s - asked_s <= 0.3
        end_s = shift.report.media.heard[-1].end_s
        await asyncio.sleep(2)
        assert shift.report.media.heard[-1].end_s <= end_s + 0.04

    w = during_a_call(tmp_path, work, ASK)
    (cut,) = w.session.truncations
    assert cut.accepted


def test_a_muted_agent_is_not_heard_and_may_speak_again(tmp_path: Path) -> None:
    async def work(shift: Shift) -> None:
        await shift.speaking(2)
        await shift.done("mute_agent")
        await until(lambda: bool(shift.report.media.clears))
        end_s = shift.report.media.heard[-1].end_s
        await asyncio.sleep(3)
        assert shift.report.media.heard[-1].end_s <= end_s + 0.04
        await shift.done("unmute")
        await shift.done("say", text="I am back.")
        await until(lambda: shift.report.media.heard[-1].end_s > end_s + 1)

    during_a_call(tmp_path, work, ASK)


def test_what_is_to_be_said_is_heard_and_a_forced_reply_too(tmp_path: Path) -> None:
    async def work(shift: Shift) -> None:
        await shift.quiet()
        await shift.done("say", text="Please hold the line.", interruptible=False)
        await until(lambda: len(shift.report.media.heard) == 2)
        await shift.quiet()
        assert any("Please hold the line." in text for text in shift.w.session.received.written)
        await shift.done("force_reply", instructions="Speak of the weather.")
        await until(lambda: len(shift.report.media.heard) == 3)
        assert "Speak of the weather." in shift.words

    w = during_a_call(tmp_path, work)
    assert "Please hold the line." in [spoken.text for spoken in w.session.spoken.values()]


def test_a_memory_stands_in_the_conversation_and_nothing_is_said_about_it(tmp_path: Path) -> None:
    async def work(shift: Shift) -> None:
        await shift.quiet()
        await shift.done("insert_memory", text="The caller has paid.", after="root")
        await until(lambda: "The caller has paid." in shift.words)
        await asyncio.sleep(3)
        assert len(shift.report.media.heard) == 1

    w = during_a_call(tmp_path, work)
    assert list(w.session.errors) == []


def test_turn_taking_changes_at_the_model_and_manual_turns_end_when_asked(tmp_path: Path) -> None:
    async def work(shift: Shift) -> None:
        await shift.quiet()
        assert await shift.refused("end_turn", id="early") == "turn-taking is not manual"
        await shift.done("turn_taking", turn_detection="manual")
        await asyncio.sleep(4)
        assert len(shift.report.media.heard) == 1  # the caller has spoken, and nobody says that it was all
        await shift.done("end_turn")
        await until(lambda: len(shift.report.media.heard) == 2)
        await shift.done("turn_taking", id="back", turn_detection={"type": "server_vad", "silence_duration_ms": 700})

    talks = Script([Wait("agent_done"), Pause(1.5), Say(tone(440, 900)), Pause(60)])
    w = during_a_call(tmp_path, work, talks)
    assert list(w.session.errors) == []


def test_keys_are_pressed_towards_the_caller(tmp_path: Path) -> None:
    async def work(shift: Shift) -> None:
        await shift.quiet()
        before = len(shift.report.media.heard)
        await shift.done("send_digits", digits="42#")
        await until(lambda: len(shift.report.media.heard) > before)

    during_a_call(tmp_path, work)


def test_a_transfer_to_an_unknown_target_is_refused_and_the_call_goes_on(tmp_path: Path) -> None:
    async def work(shift: Shift) -> None:
        await shift.quiet()
        why = await shift.refused("transfer", target="mars")
        assert why
        assert (await shift.ask("transfer", {"target": "mars"})).json()["error"]["message"] == why
        await shift.done("say", text="Still here.")

    during_a_call(tmp_path, work)


@pytest.mark.parametrize("by_command", [False, True])
def test_secure_digits_leave_by_the_vault_only(tmp_path: Path, by_command: bool) -> None:
    async def work(shift: Shift) -> None:
        asked = {"max_digits": 16, "min_digits": 16, "secure": True, "prompt": "Key in your card number."}
        await shift.done("collect_digits", id="card-1", **asked)
        await until(lambda: "vault_" in shift.words, 60)
        token = next(text for text in shift.words.split('"') if text.startswith("vault_"))
        redeem, other = f"{PUBLIC}/v1/vault/redeem", {"call_id": shift.call_id, "command_id": "card-1"}
        ways = [other, {"token": token}] if by_command else [{"token": token}, other]
        answer = await shift.w.http.post(redeem, json=ways[0], headers=HEADERS)
        assert (answer.status_code, answer.json()) == (200, {"digits": CARD})
        for way in ways:
            assert (await shift.w.http.post(redeem, json=way, headers=HEADERS)).status_code == 404
        half = await shift.w.http.post(redeem, json={"call_id": shift.call_id}, headers=HEADERS)
        assert half.status_code == 422
        assert CARD not in shift.words

    w = during_a_call(tmp_path, work, Script([Wait("agent_done"), Wait("agent_done"), Dtmf(CARD), Pause(60)]))
    assert CARD not in repr(w.journal)


@pytest.mark.parametrize("again", [1, 2])
def test_the_journal_says_who_asked_for_what_and_when_once(tmp_path: Path, again: int) -> None:
    async def work(shift: Shift) -> None:
        await shift.done("mute_caller")
        await asyncio.sleep(5)
        for _ in range(again):
            assert (await shift.ask("mute_caller")).json()["outcome"] == "repeated"
        assert (await shift.ask("unmute", id="for-mute_caller")).status_code == 409
        await shift.refused("end_turn")

    w = during_a_call(tmp_path, work)
    noted = [entry for entry in w.journal if entry.kind == "operator"]
    assert [(entry.data["command_id"], entry.data["who"], entry.data["action"]) for entry in noted] == [
        ("for-mute_caller", "night-shift", "mute_caller"),
        ("for-end_turn", "night-shift", "end_turn"),
    ]
    assert [str(entry.data["outcome"]).partition(":")[0] for entry in noted] == ["done", "refused"]
    assert 4.9 < noted[1].at_s - noted[0].at_s < 5.1
