"""Whole calls over OpenAI's SIP endpoint: the media is there, the gateway steers."""

from pathlib import Path

import pytest

from gateway.core.commands import EndReason
from gateway.deliveries.transcript import Transcript
from gateway.records.timeline import tell
from gateway.simulator.carrier.script import BargeIn, Dtmf, HangUp, Pause, Say, Script, Wait
from gateway.simulator.model import Scenario
from gateway.simulator.model.scenario import Call, Turn
from gateway.simulator.openai_sip import SipFaults
from tests.clock import run
from tests.openai_sip.stage import SipWorld, question, sip_world

GREETING = "Hello, this is Acme. How can I help?"
SHIPPED = "Your order 42 is shipped. It left our house this morning, and it will be with you tomorrow."
ORDER = Turn(
    heard="Where is order 42?",
    calls=[Call(name="lookup_order", arguments={"order_id": "42"})],
    result="Your order {order_id} is {status}. It left our house this morning, and it will be with you tomorrow.",
)
BYE = Turn(heard="Thank you, bye.", say="Goodbye.", calls=[Call(name="hang_up", arguments={"reason": "done"})])
HUMAN = Turn(
    heard="A human please.",
    say="I am putting you through.",
    calls=[Call(name="transfer_call", arguments={"target": "billing", "summary": "invoice"})],
)
DONE = Wait("agent_done")
ASK, THANK = Say(question()), Say(question("Thank you, bye."))


def turns(world: SipWorld) -> list[tuple[str, str, bool]]:
    """Return the transcript as businesses get it."""
    transcript = Transcript()
    found = [turn for entry in world.journal for turn in transcript.read(entry)] + transcript.finish()
    return [(turn.role, turn.text, turn.cut) for turn in found]


def test_a_whole_call_is_greeted_served_and_ended_after_the_goodbye_was_heard(tmp_path: Path) -> None:
    async def main() -> None:
        async with sip_world(tmp_path, Scenario(turns=[ORDER, BYE])) as world:
            report = await world.call(Script([DONE, ASK, DONE, THANK], stay_s=20))
            assert (report.outcome, report.call.ended_by, report.call.script_error) == ("completed", "rest", None)
            assert report.deliveries == [200]
            assert [(event.name, event.detail) for event in report.requests] == [("accept", "200"), ("hangup", "200")]
            record = world.record
            assert (record.carrier, record.end_reason) == ("openai_sip", EndReason.AGENT_HANGUP)
            assert (record.from_number, record.to_number) == ("+14155550101", "+14155550199")
            assert record.recording_path is None, "the agent records, and there is nothing to record"
            assert len(world.business.calls) == 1
            # The last word was heard to its end: the line went down after it.
            assert report.events[-1] == "output_audio_buffer.stopped"
            assert turns(world) == [
                ("agent", GREETING, False),
                ("caller", "Where is order 42?", False),
                ("agent", SHIPPED, False),
                ("caller", "Thank you, bye.", False),
                ("agent", "Goodbye.", False),
            ]
            assert tell(world.record, world.journal).lines

    run(main())


def test_an_interruption_is_cut_where_the_server_says(tmp_path: Path) -> None:
    async def main() -> None:
        async with sip_world(tmp_path, Scenario(turns=[ORDER, BYE])) as world:
            barge = BargeIn(question("Thank you, bye."), after_ms=2500)
            report = await world.call(Script([DONE, ASK, barge], stay_s=20))
            assert report.call.ended_by == "rest"
            ((item_id, heard_ms),) = report.truncations
            (cut,) = world.kinds("barge_in")
            assert (cut["item_id"], cut["heard_ms"]) == (item_id, heard_ms)
            assert ">output_audio_buffer.clear" not in report.events, "the server does that by itself"
            assert ">conversation.item.truncate" not in report.events
            role, said, was_cut = turns(world)[2]
            assert (role, was_cut) == ("agent", True)
            assert SHIPPED.startswith(said)
            assert 0.2 < len(said) / len(SHIPPED) < 0.7
            assert world.record.latency is not None
            assert world.record.latency["barge_ins"] == 1

    run(main())


def test_keys_reach_the_model_and_stop_what_plays(tmp_path: Path) -> None:
    async def main() -> None:
        keyed = Turn(match="pressed", say="You pressed four and two.")
        async with sip_world(tmp_path, Scenario(turns=[keyed])) as world:
            speaking = Wait("agent_speaking")
            script = Script([speaking, Pause(0.6), Dtmf("42"), Pause(1), speaking, DONE, HangUp()])
            report = await world.call(script, SipFaults(blank_dtmf=True))
            assert report.call.script_error is None
            assert [str(said["text"]) for said in world.kinds("AgentSaid")][-1] == keyed.say
            assert report.events.count(">output_audio_buffer.clear") == 1
            assert len(world.kinds("cut_short")) == 1
            assert world.record.end_reason == EndReason.CALLER_HANGUP

    run(main())


def test_digits_are_collected_in_the_open_but_never_in_secret(tmp_path: Path) -> None:
    async def main() -> None:
        wanted = {"max_digits": 2, "prompt": "Please key in your number."}
        openly = Turn(
            heard="Number?", calls=[Call(name="collect_digits", arguments=wanted)], result="You keyed {digits}."
        )
        secret = Turn(
            heard="And my PIN?",
            calls=[Call(name="collect_digits", arguments={**wanted, "secure": True})],
            result="Sorry: {error}",
        )
        async with sip_world(tmp_path, Scenario(turns=[openly, secret])) as world:
            script = Script([DONE, ASK, DONE, Dtmf("42"), DONE, THANK, DONE, HangUp()])
            report = await world.call(script)
            assert report.call.script_error is None
            said = [str(entry["text"]) for entry in world.kinds("AgentSaid")]
            assert said[1:3] == ["Please key in your number.", "You keyed 42."]
            assert said[3] == "Sorry: digits cannot be hidden from the model on a call whose media is elsewhere"
            (collect,) = [tool for tool in report.accepted_with["tools"] if tool["name"] == "collect_digits"]
            assert "secure" not in collect["parameters"]["properties"]
            assert "never ask for card numbers" in collect["description"]

    run(main())


@pytest.mark.parametrize("close_code", [1000, 1001, 1006])
def test_a_transfer_is_a_refer_after_the_last_words(tmp_path: Path, close_code: int) -> None:
    async def main() -> None:
        async with sip_world(tmp_path, Scenario(turns=[HUMAN])) as world:
            report = await world.call(Script([DONE, ASK], stay_s=60), SipFaults(close_code=close_code))
            assert report.referred_to == "tel:+14155550150"
            assert report.call.ended_by == "refer"
            assert [event.name for event in report.requests] == ["accept", "refer"], "nobody hangs up who was handed on"
            assert world.record.end_reason == EndReason.TRANSFERRED
            assert turns(world)[-1] == ("agent", "I am putting you through.", False)
            (transfer,) = [tool for tool in report.accepted_with["tools"] if tool["name"] == "transfer_call"]
            assert transfer["parameters"]["properties"]["target"]["enum"] == ["billing"], "the other one is warm"
            assert "sales" not in transfer["description"]

    run(main())


def test_a_refer_that_leads_nowhere_brings_the_agent_back(tmp_path: Path) -> None:
    async def main() -> None:
        back = HUMAN.model_copy(update={"result": "Nobody could be reached."})
        async with sip_world(tmp_path, Scenario(turns=[back])) as world:
            script = Script([DONE, ASK, DONE, Wait("agent_speaking", 60), Pause(3), HangUp()])
            report = await world.call(script, SipFaults(refer_is_lost=True))
            assert report.call.script_error is None
            assert [str(said["text"]) for said in world.kinds("AgentSaid")][-1] == "Nobody could be reached."
            assert world.record.end_reason == EndReason.CALLER_HANGUP

    run(main())


def test_a_sideband_that_breaks_while_a_refer_leads_nowhere_is_opened_again(tmp_path: Path) -> None:
    async def main() -> None:
        back = HUMAN.model_copy(update={"result": "Nobody could be reached."})
        async with sip_world(tmp_path, Scenario(turns=[back])) as world:
            script = Script([DONE, ASK, DONE, Wait("agent_speaking", 60), Pause(3), HangUp()])
            report = await world.call(script, SipFaults(refer_is_lost=True, lose_sideband_at_s=[20]))
            assert [str(said["text"]) for said in world.kinds("AgentSaid")][-1] == "Nobody could be reached."
            assert (report.call.script_error, world.record.end_reason) == (None, EndReason.CALLER_HANGUP)

    run(main())


def test_a_refer_that_is_refused_is_told_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        back = HUMAN.model_copy(update={"result": "That did not work."})
        async with sip_world(tmp_path, Scenario(turns=[back])) as world:
            script = Script([DONE, ASK, DONE, DONE, HangUp()])
            report = await world.call(script, SipFaults(status={"refer": [500]}))
            assert [str(said["text"]) for said in world.kinds("AgentSaid")][-1] == "That did not work."
            assert report.referred_to == ""

    run(main())


@pytest.mark.parametrize("close_code", [1000, 1001, 1006])
def test_a_caller_who_hangs_up_ends_the_call(tmp_path: Path, close_code: int) -> None:
    async def main() -> None:
        async with sip_world(tmp_path) as world:
            await world.call(Script([Pause(1.0), HangUp()]), SipFaults(close_code=close_code))
            assert world.record.end_reason == EndReason.CALLER_HANGUP
            assert turns(world)[0][2], "the greeting was heard in part"
            assert not world.gateway.registry.owed

    run(main())


@pytest.mark.parametrize("not_yet_s", [0.0, 0.5, 2.0])
def test_a_sideband_that_is_not_there_yet_is_waited_for(tmp_path: Path, not_yet_s: float) -> None:
    async def main() -> None:
        async with sip_world(tmp_path) as world:
            report = await world.call(Script([DONE, HangUp()]), SipFaults(not_yet_s=not_yet_s))
            assert (report.sidebands, report.call.script_error) == (1, None)
            assert turns(world) == [("agent", GREETING, False)]

    run(main())


@pytest.mark.parametrize("status", [500, 0])
def test_an_accept_whose_answer_is_lost_is_made_sure_of(tmp_path: Path, status: int) -> None:
    async def main() -> None:
        async with sip_world(tmp_path) as world:
            report = await world.call(Script([DONE, HangUp()]), SipFaults(status={"accept": [status]}))
            assert [event.name for event in report.requests][:2] == ["accept", "accept"]
            assert turns(world) == [("agent", GREETING, False)]

    run(main())


def test_a_call_that_was_accepted_elsewhere_is_left_alone(tmp_path: Path) -> None:
    async def main() -> None:
        async with sip_world(tmp_path) as world:
            report = await world.call(Script([HangUp()]), SipFaults(status={"accept": [409]}), ring_s=2.0)
            assert [event.name for event in report.requests] == ["accept"], "neither rejected nor hung up"
            assert world.record.end_reason == EndReason.LEG_BROKEN

    run(main())


def test_a_call_that_cannot_be_accepted_is_declined(tmp_path: Path) -> None:
    async def main() -> None:
        async with sip_world(tmp_path) as world:
            report = await world.call(Script([HangUp()]), SipFaults(status={"accept": [500, 500]}))
            assert (report.outcome, report.rejected_with) == ("rejected", 603)
            assert world.record.end_reason == EndReason.LEG_BROKEN

    run(main())


def test_a_hang_up_that_fails_is_asked_for_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with sip_world(tmp_path, Scenario(turns=[BYE])) as world:
            script = Script([DONE, THANK], stay_s=30)
            report = await world.call(script, SipFaults(status={"hangup": [503, 500]}))
            assert [event.name for event in report.requests] == ["accept", "hangup", "hangup", "hangup"]
            assert report.call.ended_by == "rest"
            assert world.record.end_reason == EndReason.AGENT_HANGUP

    run(main())
