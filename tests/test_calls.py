"""Whole calls, on the virtual clock."""

from pathlib import Path

from gateway.simulator.carrier import BargeIn, HangUp, Pause, Say, Script, Wait, heard_prefix_ms, tone
from gateway.simulator.model import Scenario
from tests.clock import run
from tests.world import world

ORDER = Scenario.model_validate(
    {
        "turns": [
            {
                "heard": "what is the status of order 427",
                "match": r"order (\d+)",
                "say": "Let me look that up.",
                "calls": [{"name": "lookup_order", "arguments": {"order_id": "{1}"}}],
                "result": "Order {order_id} has {status}. It left our warehouse this morning and will be there soon.",
            },
            {"heard": "wait, when exactly", "say": "On Tuesday."},
            {"heard": "thank you, goodbye", "say": "Goodbye.", "calls": [{"name": "hang_up"}]},
        ]
    }
)
SPEECH = tone(440, 900)
ASK_AND_BARGE = Script(
    [
        Wait("agent_done"),
        Say(SPEECH),
        Wait("agent_speaking"),
        BargeIn(SPEECH, after_ms=2500),
        Wait("agent_done"),
        Say(SPEECH),
    ]
)


def test_a_caller_asks_is_answered_interrupts_and_says_goodbye(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path, ORDER) as w:
            report = await w.call(ASK_AND_BARGE)
            await w.settled()
            assert report.script_error is None
            assert report.warnings == []
            assert report.ended_by == "twiml"
            assert w.record.end_reason == "agent_hangup"
            assert [call["data"]["arguments"] for call in w.business.calls] == [{"order_id": "427"}]  # type: ignore[index]
            for cut in w.session.truncations:
                heard = heard_prefix_ms(bytes(w.session.spoken[cut.item_id].audio), report.media.played_bytes())
                assert heard is not None and abs(heard - cut.audio_end_ms) <= 40
            assert len(w.session.truncations) == 1
            assert not w.session.open
            assert w.session.errors == type(w.session.errors)([], maxlen=w.session.errors.maxlen)

    run(main())


def test_a_caller_who_hangs_up_ends_the_call_and_the_session(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path) as w:
            await w.call(Script([Wait("agent_speaking"), Pause(0.5), HangUp()]))
            await w.settled()
            assert w.record.end_reason == "caller_hangup"
            assert not w.session.open

    run(main())
