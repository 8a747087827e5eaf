"""How an agent behaves on a call: what the file's keys become in the core's plan and in the model's session."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from gateway import plans
from gateway.agents import Agent, ToolPolicy, load_agents, turn_taking
from gateway.core.plan import (
    BACKCHANNELS,
    Confirmation,
    EarlyReply,
    Filler,
    Idle,
    OnInterrupt,
    ReversibleBargeIn,
    ToolRules,
    TransferMode,
    TransferTarget,
    TurnMode,
)
from gateway.core.plan import TurnTaking as Turns
from gateway.errors import ConfigError
from gateway.tools.catalogue import Catalogue, ToolKind, catalogue_tool
from tests.agents.meaning import plan_of, session_of

TARGETS = {
    "billing": {"number": "+14155550100", "description": "Questions about invoices."},
    "manager": {
        "number": "+442079460000",
        "mode": "warm",
        "brief": "A caller of the shop.",
        "accept_key": "5",
        "ring_s": 40,
    },
}


def agent(**keys: object) -> Agent:
    return Agent.model_validate({"instructions": "x", **keys})


def detection(**keys: object) -> object:
    made = agent(**keys)
    return session_of(made)["audio"]["input"]["turn_detection"]


def refusal(folder: Path, *lines: str) -> str:
    path = folder / "a.yaml"
    path.write_text("agents:\n  a:\n    instructions: x\n" + "".join(f"    {line}\n" for line in lines))
    with pytest.raises(ConfigError) as caught:
        load_agents(path)
    return str(caught.value).removeprefix(f"{path}:")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("default", Turns()),
        ("patient", Turns(silence_ms=1000)),
        ("spelling", Turns(threshold=0.4, prefix_padding_ms=500, silence_ms=1800)),
        ("manual", Turns(TurnMode.MANUAL, key="#")),
        ({"type": "manual", "key": None}, Turns(TurnMode.MANUAL)),
        (
            {"type": "manual", "own_ear": True, "silence_duration_ms": 700},
            Turns(TurnMode.MANUAL, silence_ms=700, key="#", own_ear=True),
        ),
        ({"type": "semantic_vad", "eagerness": "high"}, Turns(TurnMode.SEMANTIC_VAD, eagerness="high")),
        (
            {"type": "server_vad", "threshold": 0.7, "silence_duration_ms": 800, "idle_timeout_ms": 6000},
            Turns(threshold=0.7, silence_ms=800, idle_timeout_ms=6000),
        ),
    ],
)
def test_turn_detection_means_the_same_in_the_file_and_in_mid_call(written: object, meant: Turns) -> None:
    assert turn_taking(written) == meant
    assert plan_of(agent(turn_detection=written)).turns == meant


@pytest.mark.parametrize("written", ["fast", None, 5, True, [], {}, {"type": "none"}, {"type": "manual", "key": "##"}])
def test_turn_detection_that_is_none_is_refused(written: object) -> None:
    with pytest.raises(ValidationError):
        turn_taking(written)


def test_the_session_gets_the_turn_detection_of_the_plan() -> None:
    both = {"create_response": True, "interrupt_response": True}
    default = {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 500}
    assert detection() == default | {"idle_timeout_ms": None} | both
    assert detection(turn_detection={"type": "semantic_vad"}) == {"type": "semantic_vad", "eagerness": "auto"} | both
    assert detection(turn_detection="manual") is None


def test_a_server_that_must_not_interrupt_is_told_so() -> None:
    told = detection(barge_in="reversible")
    assert isinstance(told, dict) and (told["create_response"], told["interrupt_response"]) == (False, False)


def test_an_early_reply_begins_at_the_servers_short_silence() -> None:
    told = detection(early_reply=True)
    assert isinstance(told, dict) and told["silence_duration_ms"] == 100


def test_the_plan_of_an_agent_that_says_nothing_is_the_plain_one() -> None:
    plan = plan_of(agent())
    assert (plan.turns, plan.reversible, plan.early_reply, plan.idle) == (Turns(), None, None, None)
    assert plan.greeting_interruptible and plan.keys_to_model
    assert plan.built_in == {"hang_up"} and not plan.transfer_targets


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("immediate", None),
        ({"reversible": False}, None),
        ("reversible", ReversibleBargeIn(600, BACKCHANNELS)),
        ({"confirm_ms": 400, "backchannels": ["Mm-hm", "ja"]}, ReversibleBargeIn(400, frozenset({"mmhm", "ja"}))),
        ({"backchannels": []}, ReversibleBargeIn(600, frozenset())),
    ],
)
def test_barge_in(written: object, meant: ReversibleBargeIn | None) -> None:
    assert plan_of(agent(barge_in=written)).reversible == meant


@pytest.mark.parametrize(
    ("written", "turns", "meant"),
    [
        (True, "default", EarlyReply(100, 800)),
        (True, "patient", EarlyReply(100, 1000)),
        ({"confirm_ms": 600}, "patient", EarlyReply(100, 600)),
        ({"server_silence_ms": 300}, "default", EarlyReply(300, 800)),
        (False, "default", None),
        (None, "manual", None),
    ],
)
def test_early_reply(written: object, turns: str, meant: EarlyReply | None) -> None:
    assert plan_of(agent(early_reply=written, turn_detection=turns)).early_reply == meant


def test_idle_and_keys_and_the_greeting() -> None:
    assert plan_of(agent(idle=True)).idle == Idle(15, ("Are you still there?",))
    plan = plan_of(agent(idle={"after_s": 20, "prompts": []}, keys_to_model=False, greeting_interruptible=False))
    assert plan.idle == Idle(20, ())
    assert not plan.keys_to_model and not plan.greeting_interruptible


def test_transfer_targets_are_the_only_ones_and_come_with_their_function() -> None:
    plan = plan_of(agent(transfer={"targets": TARGETS}))
    assert plan.transfer_targets == {
        "billing": TransferTarget("+14155550100", description="Questions about invoices."),
        "manager": TransferTarget("+442079460000", TransferMode.WARM, "", "A caller of the shop.", "5", 40),
    }
    assert plan.built_in == {"transfer_call", "hang_up"}


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("turn_detection: fast", "turn_detection: should be one of default, patient, spelling, manual, or a section"),
        ("turn_detection: {type: manual, key: '##'}", "key: should be '0', '1',"),
        ("turn_detection: {silence: 3}", "'type' is missing"),
        ("barge_in: slow", "barge_in: should be immediate, reversible, or a section such as {confirm_ms: 600}"),
        ("barge_in: {confirm_ms: 10}", "confirm_ms: should be greater than or equal to 200"),
        ("barge_in: {backchannels: [uh huh]}", "backchannels: each should be one word, and 'uh huh' is not"),
        ("barge_in: {backchannels: ['…']}", "backchannels: '…' has no letters"),
        ("early_reply: soon", "early_reply: should be true, false, or a section"),
        (
            "early_reply: {server_silence_ms: 200, confirm_ms: 150}",
            "early_reply: confirm_ms (150) should not be shorter than server_silence_ms",
        ),
        ("early_reply: {server_silence_ms: 900}", "early_reply: confirm_ms (800) should not be shorter than"),
        ("idle: {prompts: [a, b, c]}", "prompts: should have at most 2 entries"),
        ("idle: 15", "idle: should be true, false, or a section"),
        ("transfer: {targets: {}}", "targets: should have at least one entry"),
        ("transfer: {targets: {A b: {number: '+14155550100'}}}", "'A b': should match pattern"),
        ("transfer: {targets: {a: {number: '+14155550100', brief: x}}}", "brief: only a warm transfer has a brief"),
        ("transfer: {targets: {a: {number: '+14155550100', accept_key: '12'}}}", "accept_key: should be '0',"),
        ("tools: [{name: collect_digits, description: x, url: 'https://a.example/x'}]", "name: 'collect_digits' is bu"),
    ],
)
def test_a_mistake_is_one_line_with_its_place(tmp_path: Path, line: str, sentence: str) -> None:
    told = refusal(tmp_path, line)
    place, _, said = told.partition(": ")
    assert "\n" not in told and place.startswith("4:") and said.startswith(sentence)


@pytest.mark.parametrize("turns", ["manual", "{type: semantic_vad}"])
def test_an_early_reply_needs_a_server_that_listens_for_silence(tmp_path: Path, turns: str) -> None:
    told = refusal(tmp_path, "early_reply: true", f"turn_detection: {turns}")
    assert told.startswith("4:5: early_reply: needs turn_detection of type server_vad, and it is ")


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        ("911", "is an emergency number"),
        ("112", "is an emergency number"),
        ("000", "is an emergency number"),
        ("+1911", "is an emergency number"),
        ("+44999", "is an emergency number"),
        ("0049 110", "is an emergency number"),
        ("72345", "is a short number"),
        ("411", "is a short number"),
        ("+19005550100", "is a premium-rate number"),
        ("+4990012345678", "is not a valid number"),
        ("+498001234567890123", "is not a valid number"),
        ("+49180512345", "is a shared-cost number"),
        ("+881612345678", "+881 belongs to no country"),
        ("+870773112345", "+870 belongs to no country"),
        ("+97900000000", "+979 belongs to no country"),
        ("+447012345678", "is a follow-me number"),
        ("+14155551212", "is a pay-per-call number"),
        ("+14159761234", "is a pay-per-call number"),
        ("4155550100", "is not an international number"),
        ("+1 415 555 0100", "must be + and digits only"),
        ("sip:x@example.com", "is not an international number"),
        ("", "is not an international number"),
        ("+" + "9" * 5000, "is not an international number"),
        ("+١٤١٥٥٥٥٠١٠٠", "must be + and digits only"),
    ],
)
def test_callers_are_never_handed_to_such_a_number(number: str, sentence: str) -> None:
    with pytest.raises(ValidationError, match=r"number\n  Value error, " + sentence.replace("+", r"\+")):
        agent(transfer={"targets": {"a": {"number": number}}})


@pytest.mark.parametrize("number", ["+14155550100", "+442079460000", "+4930123456", "+18005550100", "+4991612345678"])
def test_an_ordinary_number_may_be_a_target(number: str) -> None:
    assert plan_of(agent(transfer={"targets": {"a": {"number": number}}})).transfer_targets["a"].number == number


TOOL = {"name": "book", "description": "d", "url": "https://a.example/b"}


def rules(**keys: object) -> ToolRules:
    return plan_of(agent(tools=[{**TOOL, **keys}])).tools["book"]


def test_a_tool_that_says_nothing_runs_by_the_defaults() -> None:
    assert rules() == ToolRules(deadline_s=9, pending_s=600, filler=Filler(1.2))


def test_what_a_tool_says_becomes_the_cores_rules() -> None:
    said = rules(
        timeout_s=4,
        pending_s=60,
        effect="read",
        on_interrupt="cancel",
        requires_confirmation="key",
        claims=["I have booked"],
        speak_while_waiting={"after_s": 2, "say": "One moment."},
    )
    assert said == ToolRules(5, 60, Filler(2, "One moment."), OnInterrupt.CANCEL, Confirmation.KEY, ("I have booked",))
    assert rules(requires_confirmation="spoken").confirmation is Confirmation.SPOKEN
    assert rules(speak_while_waiting=False).filler is None
    assert rules(speak_while_waiting={"sound": True}).filler == Filler(sound=True)


def test_imported_tools_have_rules_and_built_in_ones_have_none() -> None:
    made = agent(correct_claims=True, hang_up=True)
    policy = ToolPolicy(effect="read", timeout_s=2)
    imported = catalogue_tool("find", ToolKind.OPERATION, "d", {"type": "object"}, policy)
    catalogue = Catalogue(made, [imported])
    plan = plans.plan_of(made, catalogue)
    assert plan.tools == {"find": ToolRules(deadline_s=3)} and plan.corrects_claims
    assert [tool["name"] for tool in plans.session_of(made, plan, catalogue)["tools"]] == ["find", "hang_up"]


def test_the_first_word_waits_for_the_look_up_and_for_the_past_of_a_call() -> None:
    plain, asking = agent(), agent(lookup={"url": "https://a.example/l", "timeout_s": 2})
    assert plan_of(plain).briefing_s == 0
    assert plan_of(asking).briefing_s == pytest.approx(2.2)
    assert plans.plan_of(plain, Catalogue(plain), briefing_s_min=1).briefing_s == 1
    assert plans.plan_of(asking, Catalogue(asking), briefing_s_min=1).briefing_s == pytest.approx(2.2)


def test_a_greeting_never_says_a_variable_that_nobody_told() -> None:
    made = agent(greeting="Hello {{name}}, this is Acme.")
    assert plan_of(made).greeting == "Hello, this is Acme."
    assert plans.plan_of(made, Catalogue(made), variables={"name": "Ann"}).greeting == "Hello Ann, this is Acme."
    assert plan_of(agent(greeting="{{name}}")).greeting is None


def test_the_languages_of_a_call_and_its_first_transcription() -> None:
    plan = plan_of(agent(language="en", set_language=["en", "es"]))
    assert plan.languages == {"en", "es"} and "set_language" in plan.built_in
    assert plan.transcription == {"model": "gpt-transcribe", "language": "en"}
    assert plan_of(agent(transcription=None)).transcription == {}
    assert not plan_of(agent()).languages
