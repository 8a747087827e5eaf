"""What a business is told of whole calls: in order, as it was heard, and nothing secret."""

import json
from pathlib import Path

from gateway.deliveries.transcript import Transcript
from gateway.simulator.carrier import BargeIn, HangUp, Say, Script, Wait
from gateway.simulator.model import Scenario
from tests.deliveries.calls import EVENTS, Told, agent, call
from tests.faults.calls import ASK, SPEECH
from tests.turns.test_secrets import CARD, payer, pays

LONG = "It is on its way, and it will be with you on Monday or on Tuesday, as the weather allows, in the morning."
ORDER = {"name": "lookup_order", "arguments": {"order_id": "427"}}
ASKS = Scenario.model_validate(
    {
        "turns": [
            {"heard": "where is order 427", "calls": [ORDER], "result": LONG, "think_ms": 300},
            {"heard": "stop", "say": "All right."},
        ]
    }
)
INTERRUPTS = Script([Wait("agent_done"), Say(SPEECH), BargeIn(SPEECH, 1500), Wait("agent_done"), Say(SPEECH), HangUp()])


def test_a_business_is_told_of_start_turns_and_end(tmp_path: Path) -> None:
    left = call(tmp_path, INTERRUPTS, ASKS, agent(EVENTS))
    kinds = [event["type"] for event in left.business.events]
    assert kinds[0] == "call.started" and kinds[-1] == "call.ended"
    assert set(kinds[1:-1]) == {"transcript.turn"}
    turns = [data["turn"] for data in left.business.of("transcript.turn")]
    assert [turn["seq"] for turn in turns] == list(range(len(turns)))
    (ended,) = left.business.of("call.ended")
    assert sorted(ended["transcript"], key=lambda turn: turn["seq"]) == turns
    assert [turn["at_s"] for turn in ended["transcript"]] == sorted(turn["at_s"] for turn in turns)
    assert (ended["reason"], ended["call"]["id"]) == (left.record.end_reason, left.record.call_id)
    assert ended["duration_s"] * 1000 == left.record.duration_ms
    assert (ended["call"]["from"], ended["call"]["to"]) == (left.record.from_number, left.record.to_number)
    assert {row.state for row in left.deliveries} <= {"delivered", "waiting"}


def test_the_agents_words_are_those_that_were_heard(tmp_path: Path) -> None:
    left = call(tmp_path, INTERRUPTS, ASKS, agent(EVENTS))
    turns = [data["turn"] for data in left.business.of("transcript.turn")]
    (cut,) = [turn for turn in turns if turn["cut"]]
    assert LONG.startswith(cut["text"]) and 3 <= len(cut["text"].split()) < len(LONG.split())
    assert [turn["text"] for turn in turns if turn["role"] == "caller"][:2] == ["where is order 427", "stop"]


def test_functions_are_told_with_their_outcome(tmp_path: Path) -> None:
    left = call(tmp_path, ASK, ASKS, agent(EVENTS))
    (ended,) = left.business.of("call.ended")
    (tool,) = ended["tools"]
    assert (tool["name"], tool["arguments"], tool["outcome"]) == ("lookup_order", {"order_id": "427"}, "done")
    assert tool["output"] == {"order_id": "427", "status": "shipped"}
    assert ended["usage"] and ended["recording"] is False and ended["tools_omitted"] == 0


def test_only_what_was_asked_for_is_told(tmp_path: Path) -> None:
    events = "events: {url: https://business.example.com/events, types: [call.ended]}"
    left = call(tmp_path, ASK, ASKS, agent(events))
    assert [event["type"] for event in left.business.events] == ["call.ended"]


def test_secret_keys_and_their_tokens_are_in_no_event(tmp_path: Path) -> None:
    left = call(tmp_path, payer(), pays(secure=True), agent("collect_digits: true", EVENTS))
    bodies = "".join(row.body for row in left.deliveries) + json.dumps(left.business.events)
    assert "call.ended" in bodies and "vault_" in left.said_to_model
    assert CARD not in bodies and "4, 1, 1, 1" not in bodies and "vault_" not in bodies


def test_the_same_turns_are_read_off_the_stored_journal(tmp_path: Path) -> None:
    left = call(tmp_path, INTERRUPTS, ASKS, agent(EVENTS))
    live = [data["turn"] for data in left.business.of("transcript.turn")]
    transcript = Transcript()
    stored = [turn for entry in left.journal for turn in transcript.read(entry)] + transcript.finish()
    assert [(turn.seq, turn.text, turn.item_id) for turn in stored] == [
        (turn["seq"], turn["text"], turn["item_id"]) for turn in live
    ]


def test_a_journal_that_breaks_off_anywhere_tells_no_more_than_was_heard(tmp_path: Path) -> None:
    left = call(tmp_path, INTERRUPTS, ASKS, agent(EVENTS))
    whole = {data["turn"]["item_id"]: data["turn"]["text"] for data in left.business.of("transcript.turn")}
    generated = {str(e.data["item_id"]): str(e.data["text"]) for e in left.journal if e.kind == "AgentSaid"}
    for length in range(len(left.journal)):
        transcript = Transcript()
        turns = [turn for entry in left.journal[:length] for turn in transcript.read(entry)] + transcript.finish()
        assert len({turn.item_id for turn in turns}) == len(turns)
        for turn in turns:
            words = generated.get(turn.item_id, whole.get(turn.item_id, ""))
            assert " ".join(words.split()).startswith(" ".join(turn.text.split()))


def test_a_look_up_greets_the_caller_by_name(tmp_path: Path) -> None:
    lookup = "lookup: {url: https://business.example.com/incoming}"
    business = Told(
        answer={
            "context": {"name": "Ada", "open_orders": 2},
            "greeting": "Hello {{name}}, good to hear you.",
            "variables": {"name": "Ada"},
        }
    )
    left = call(tmp_path, ASK, ASKS, agent(EVENTS, lookup), business)
    (asked,) = business.incoming
    assert asked["type"] == "call.incoming" and asked["data"]["call"]["from"] == left.record.from_number
    first = business.of("transcript.turn")[0]["turn"]
    assert first["text"] == "Hello Ada, good to hear you."
    assert '"open_orders":2' in left.said_to_model
    (ended,) = business.of("call.ended")
    assert ended["variables"] == {"name": "Ada"}
