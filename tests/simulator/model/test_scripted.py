"""The scripted engine: scenario files, templates, sounds, and the energy detector on recorded callers."""

from pathlib import Path
from typing import Any

import pytest

import gateway.simulator
from gateway.errors import ConfigError
from gateway.simulator.engine import Answer, Context, FunctionCall, Speech
from gateway.simulator.model import ScriptedEngine, load_scenario, parse_scenario
from gateway.simulator.model.config import ServerVad
from gateway.simulator.model.formats import Encoding, Inbound
from gateway.simulator.model.hearing import Hearing, Started, Stopped
from gateway.simulator.model.scripted import babble
from gateway.simulator.model.semantic import sounds_finished
from tests.clock import run
from tests.simulator.model.client import desk

KIM = 'You are Kim. First say exactly this. Say exactly: "Welcome."'
CLIPS = Path(gateway.simulator.__file__).parent / "clips"


def ask(script: str, items: list[dict[str, Any]], turn: int, instructions: str = "", *, own: bool = False) -> Answer:
    context = Context(instructions, [], "auto", items, turn, own_instructions=own)
    return run(ScriptedEngine(parse_scenario(script)).respond(context))


def user(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [{"type": "input_audio", "transcript": text}]}


def output(call_id: str, text: str) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": text}


def call(call_id: str, name: str) -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": "{}"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("turns: [{say: a, shout: b}]", "turns.0.shout"),
        ("turn: []", "turn: unknown key; did you mean 'turns'\\?"),
        ("turns: [{herd: a}]", "turns.0.herd: unknown key; did you mean 'heard'\\?"),
        ("turns: [{faults: [{kind: close, cod: 1}]}]", "cod: unknown key; did you mean 'code'\\?"),
        ("server: {audio_facto: 2}", "server.audio_facto: unknown key; did you mean 'audio_factor'\\?"),
        ("zzzzzz: 1", "zzzzzz: unknown key$"),
        ("greeting: a\ngreeting: b", "'greeting' twice"),
        ("turns: [{faults: [{kind: explode}]}]", "faults"),
        ("turns: [{faults: [{kind: close, code: 1005}]}]", "close code"),
        ("turns: [{match: '('}]", "regular expression"),
        ("server: {audio_factor: 0}", "audio_factor"),
        ("- a", "top level"),
        ("{" * 5000, "YAML"),
        ("!!python/object:os.system x", "YAML"),
        ("&a [*a]", "top level"),
    ],
)
def test_a_bad_scenario_is_refused_with_its_place(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        parse_scenario(text)


def test_a_scenario_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "scenario.yaml"
    path.write_text("turns: [{heard: hello, say: hi}]\nserver: {audio_factor: 20}\n")
    scenario = load_scenario(path)
    assert scenario.server.audio_factor == 20
    with pytest.raises(ConfigError, match="cannot be read"):
        load_scenario(tmp_path / "nothing.yaml")
    path.write_bytes(b"# " + b"x" * 2_000_000)
    with pytest.raises(ConfigError, match="at most"):
        load_scenario(path)


def test_arguments_and_words_are_filled_from_what_was_heard() -> None:
    script = """
turns:
  - match: "order (?P<id>\\\\w+) (for|of) (\\\\w+)"
    say: "Looking for {3}, {missing}."
    calls: [{name: find, arguments: {order: "{id}", names: ["{3}"], count: 2}}, {name: raw, arguments: "{oops"}]
"""
    answer = ask(script, [user("Where is ORDER a17 of Kim?")], 1)
    assert answer.items == [
        Speech("Looking for Kim, {missing}."),
        FunctionCall("find", '{"order": "a17", "names": ["Kim"], "count": 2}'),
        FunctionCall("raw", "{oops"),
    ]


def test_results_of_parallel_calls_are_told_by_function() -> None:
    script = "turns: [{calls: [{name: a}, {name: b}], result: 'A {a.x.0}, B {b.x}, last {x}, {b.output}.'}]"
    items = [user("?"), call("1", "a"), call("2", "b"), output("1", '{"x": ["one"]}'), output("2", '{"x": 2.5}')]
    assert ask(script, items, 1).items == [Speech("A one, B 2.5, last 2.5, {b.output}.")]


def test_a_result_that_is_no_json_is_told_as_output() -> None:
    items = [user("?"), call("1", "a"), output("1", "broken {")]
    assert ask("turns: [{result: 'It says {output}'}]", items, 1).items == [Speech("It says broken {")]
    assert ask("", items, 1).items == [Speech("All right, that is done.")]


@pytest.mark.parametrize(
    ("items", "turn", "instructions", "said"),
    [
        ([], 0, "", "Hello, how can I help you?"),
        ([], 0, 'You are Kim. Say exactly: "Welcome to \\"us\\"."', 'Welcome to "us".'),
        ([], 0, 'You are Kim. Say exactly: "Welcome to us."', "Welcome to us."),
        ([user("a")], 1, 'You are Kim. Say exactly: "Welcome to us."', "one"),
        ([user("a")], 1, 'Say exactly: "Sorry about that."', "one"),
        ([user("a")], 9, "", "I am sorry, could you say that again?"),
        ([user("a")], 2, "", "I am sorry, could you say that again?"),
    ],
)
def test_what_is_said_depends_on_turn_and_instructions(
    items: list[dict[str, Any]], turn: int, instructions: str, said: str
) -> None:
    assert ask("turns: [{say: one}]", items, turn, instructions).items == [Speech(said)]


@pytest.mark.parametrize(
    "items",
    [
        [user("a")],
        [user("a"), call("1", "a")],
        [user("a"), call("1", "a"), output("1", "{}")],
        [user("a"), {"type": "message", "role": "assistant", "content": []}],
    ],
)
def test_what_a_response_is_told_to_say_is_said_whatever_stands_last(items: list[dict[str, Any]]) -> None:
    said = ask("turns: [{say: one, result: two}]", items, 1, f'{KIM}\n\nSay exactly: "Booked."', own=True).items
    assert said == [Speech("Booked.")]
    assert ask("turns: [{say: one, result: two}]", items, 1, KIM).items != [Speech("Welcome.")]


def test_a_server_tells_the_instructions_of_a_response_from_those_of_the_session() -> None:
    async def main() -> list[str]:
        async with desk("turns: [{calls: [{name: book}], result: That is done.}, {say: two}, {say: three}]") as server:
            client = await server.connect()
            await client.configure(instructions=KIM)
            await client.say("book it")
            (item,) = (await client.until("response.done"))["response"]["output"]
            await client.send("conversation.item.create", item=output(item["call_id"], "{}"))
            await client.send("response.create", response={"instructions": f'{KIM}\n\nSay exactly: "Booked."'})
            await client.until("response.done")
            await client.say("a second turn")
            await client.until("response.done")
            words = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a third"}]}
            await client.send("conversation.item.create", item=words)
            await client.send("response.create", response={"instructions": KIM})
            await client.until("response.done")
            return [spoken.text for spoken in server.record.spoken.values()]

    assert run(main()) == ["Booked.", "two", "three"]


def test_turns_can_repeat() -> None:
    script = "repeat: true\nturns: [{heard: a, say: one}, {heard: b, say: two}]"
    assert ask(script, [user("b")], 4).items == [Speech("two")]
    engine = ScriptedEngine(parse_scenario(script))
    assert run(engine.transcribe(b"", "", 5)) == "a"


def test_every_text_has_its_own_sound_of_65_ms_a_character() -> None:
    assert len(babble("ten chars.")) == 10 * 65 * 8
    assert babble("ten chars.") == babble("ten chars.")
    assert babble("ten chars.") != babble("Ten chars.")


@pytest.mark.parametrize(
    ("text", "finished"),
    [
        ("where is my order", True),
        ("", True),
        ("...", False),
        ("I want to", False),
        ("My order number is", False),
        ("my order number is four two", False),
        ("my order number is four two seven one", True),
        ("I have two", True),
        ("so, um", False),
        ("Well,", False),
    ],
)
def test_words_that_leave_a_sentence_open_are_recognised(text: str, finished: bool) -> None:
    assert sounds_finished(text) is finished


@pytest.mark.parametrize(
    "clip", ["order-01-am_michael", "bye-02-am_michael", "barge-02-am_michael", "talk-02-af_heart"]
)
def test_the_energy_detector_finds_recorded_callers(clip: str) -> None:
    hearing = Hearing(ScriptedEngine(), 60)
    hearing.configure(ServerVad(type="server_vad", prefix_padding_ms=0))
    sound = (CLIPS / f"{clip}.ulaw").read_bytes()
    found: list[Started | Stopped] = []
    for noticed in hearing.append(Inbound(Encoding.PCMU).take(b"\xff" * 8000 + sound + b"\xff" * 8000)):
        assert isinstance(noticed, Started | Stopped)
        found.append(noticed)
        if isinstance(noticed, Stopped):
            hearing.take()
    # Every clip starts with 100 ms and ends with 200 ms of silence.
    assert abs(found[0].at_ms - 1100) <= 60
    assert abs(found[-1].at_ms - (1000 + len(sound) // 8 - 200 + 500)) <= 80


def test_the_example_in_the_readme_is_a_valid_scenario() -> None:
    readme = Path(gateway.simulator.__file__).parent / "model" / "README.md"
    example = readme.read_text().split("```yaml\n")[1].split("```")[0]
    scenario = parse_scenario(example)
    answer = run(ScriptedEngine(scenario).respond(Context("", [], "auto", [user("where is my order A17")], 1)))
    assert answer.items[1] == FunctionCall("order_status", '{"order_id": "A17"}')
