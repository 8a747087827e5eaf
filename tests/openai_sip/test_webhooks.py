"""Deliveries of `realtime.call.incoming`: each call is taken once, declined with a status, or left alone."""

import asyncio
import time
from pathlib import Path

import httpx2
import pytest

from gateway.core.commands import EndReason
from gateway.simulator.carrier.script import HangUp, Pause, Script, Wait
from gateway.simulator.openai_sip import SipFaults
from gateway.simulator.openai_sip.webhooks import incoming_body, signed
from tests.clock import run
from tests.openai_sip.stage import SIP_AGENTS, SIP_SECRET, sip_world
from tests.world import PUBLIC

SHORT = Script([Wait("agent_done"), HangUp()])
URL = f"{PUBLIC}/openai/incoming"


@pytest.mark.parametrize("faults", [SipFaults(deliveries=3), SipFaults(bodies=3)])
def test_a_delivery_that_repeats_is_one_call(tmp_path: Path, faults: SipFaults) -> None:
    async def main() -> None:
        async with sip_world(tmp_path) as world:
            report = await world.call(SHORT, faults)
            assert set(report.deliveries) == {200}
            assert [event.name for event in report.requests] == ["accept", "hangup"]
            assert len(world.store.calls) == 1

    run(main())


def test_a_call_of_long_ago_is_ignored(tmp_path: Path) -> None:
    async def main() -> None:
        async with sip_world(tmp_path) as world:
            report = await world.call(SHORT, SipFaults(age_s=90), ring_s=3.0)
            assert (report.outcome, report.deliveries, report.requests) == ("no-answer", [200], [])
            assert not world.store.calls

    run(main())


def test_a_webhook_of_a_call_that_is_over_does_no_harm(tmp_path: Path) -> None:
    async def main() -> None:
        async with sip_world(tmp_path) as world:
            report = await world.call(SHORT)
            plan_headers = [{"name": "To", "value": "<sip:+14155550199@x>"}]
            body = incoming_body("evt_again", report.call.call_sid, plan_headers, int(time.time()))
            answer = await world.http.post(URL, content=body, headers=signed(body, SIP_SECRET, "wh_again"))
            assert answer.status_code == 200
            # And one of a call that never was, or that its caller has given up.
            body = incoming_body("evt_x", "rtc_unknown", plan_headers, int(time.time()))
            answer = await world.http.post(URL, content=body, headers=signed(body, SIP_SECRET, "wh_x"))
            assert answer.status_code == 200
            await world.gateway.registry.empty()
            assert len(report.requests) == 2
            assert [call.end_reason for call in world.store.calls.values()] == [EndReason.CALLER_HANGUP] * 2

    run(main())


def test_a_caller_who_gives_up_while_it_rings_leaves_an_ended_call(tmp_path: Path) -> None:
    async def main() -> None:
        async with sip_world(tmp_path) as world:
            report = await world.call(SHORT, SipFaults(status={"accept": [404]}), ring_s=1.0)
            assert [event.name for event in report.requests] == ["accept"]
            assert world.record.end_reason == EndReason.CALLER_HANGUP

    run(main())


def test_without_a_place_the_caller_hears_busy(tmp_path: Path) -> None:
    async def main() -> None:
        async with sip_world(tmp_path, settings={"max_calls": 1}) as world:
            world.gateway.registry.max_calls = 0
            report = await world.call(SHORT)
            assert (report.outcome, report.rejected_with) == ("rejected", 486)
            assert world.record.end_reason == "refused_full"

    run(main())


def test_a_draining_node_sends_the_call_elsewhere(tmp_path: Path) -> None:
    async def main() -> None:
        async with sip_world(tmp_path) as world:
            world.gateway.registry.drain()
            report = await world.call(SHORT)
            assert report.rejected_with == 503
            assert world.record.end_reason == "refused_draining"

    run(main())


def test_a_number_of_nobody_is_not_found(tmp_path: Path) -> None:
    async def main() -> None:
        async with sip_world(tmp_path) as world:
            report = await world.call(SHORT, headers=(("To", "<sip:+14155559999@x>"),))
            assert report.rejected_with == 404
            assert world.record.end_reason == "refused_no_agent"

    run(main())


def test_a_project_without_a_number_reaches_the_default_agent(tmp_path: Path) -> None:
    async def main() -> None:
        async with sip_world(tmp_path, agents=SIP_AGENTS + "    default: true\n") as world:
            headers = (("To", "<sip:proj_abc@sip.api.openai.com>"), ("From", "<sip:anonymous@anonymous.invalid>"))
            report = await world.call(SHORT, headers=headers)
            assert report.outcome == "completed"
            assert (world.record.from_number, world.record.to_number) == ("", "")

    run(main())


def test_hostile_requests_are_refused_and_allocate_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with sip_world(tmp_path) as world:
            body = incoming_body("evt_1", "rtc_1", [], 1)
            good = signed(body, SIP_SECRET, "wh_1")

            async def status(content: bytes, headers: dict[str, str]) -> int:
                answer: httpx2.Response = await world.http.post(URL, content=content, headers=headers)
                return answer.status_code

            assert await status(body, {}) == 403
            assert await status(body, {**good, "webhook-signature": "v1,AAAA"}) == 403
            assert await status(b"x" * 70_000, good) == 413
            broken = b"[]"
            assert await status(broken, signed(broken, SIP_SECRET, "wh_2")) == 400
            other = b'{"type": "response.completed"}'
            assert await status(other, signed(other, SIP_SECRET, "wh_3")) == 200
            assert (await world.http.get(URL)).status_code == 405
            assert not world.store.calls

    run(main())


def test_a_gateway_that_stops_hangs_up(tmp_path: Path) -> None:
    async def main() -> None:
        async with sip_world(tmp_path) as world:

            async def stop() -> None:
                await asyncio.sleep(4)
                world.gateway.registry.hand_over()
                await asyncio.sleep(1)
                assert world.gateway.registry.live == 1, "nobody else could take the call: it goes on"
                world.gateway.registry.stop()

            async with asyncio.TaskGroup() as group:
                group.create_task(stop())
                report = await world.call(Script([Pause(30), HangUp()]))
            assert report.call.ended_by == "rest"
            assert world.record.end_reason == EndReason.STOPPED

    run(main())
