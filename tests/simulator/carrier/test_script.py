"""Caller scripts from files."""

from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.simulator.carrier import (
    Backchannel,
    BargeIn,
    Dtmf,
    HangUp,
    Key,
    Pause,
    Say,
    Wait,
    load_script,
    parse_script,
    tone,
)

GOOD = """
name: asks and interrupts
stay_s: 5
hang_up_at_s: 60
steps:
  - wait: agent_done
    quiet_ms: 800
  - wait: 2
  - say: hello
  - pause_ms: 400
  - barge_in: {after_ms: 1200, say: "tone:440:100"}
    within_s: 9
  - barge_in: {after_ms: [300, 2500], say: hello}
  - backchannel: {after_ms: 900, say: hello}
  - say: hello
    keys: [{at_ms: 4, digit: "4"}, {at_ms: 8, digit: "#"}]
    in_band: true
  - wait: ringing
  - dtmf: "12#"
  - dtmf: "9"
    in_band: true
  - silence: 2.5
  - hangup
"""


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "hello.ulaw").write_bytes(b"\1" * 80)
    (tmp_path / "clips" / "wave.ulaw").write_bytes(b"RIFF1234")
    (tmp_path / "secret.ulaw").write_bytes(b"\1")
    return tmp_path / "clips"


def test_every_step_is_understood(clips: Path) -> None:
    script = parse_script(GOOD, clips)
    assert list(script.steps) == [
        Wait("agent_done", 20.0, 800),
        Pause(2.0),
        Say(b"\1" * 80, "hello"),
        Pause(0.4),
        BargeIn(tone(440, 100), 1200, 9.0, "tone:440:100"),
        BargeIn(b"\1" * 80, 300, 20.0, "hello", 2500),
        Backchannel(b"\1" * 80, 900, "hello"),
        Say(b"\1" * 80, "hello", (Key(4, "4"), Key(8, "#")), True),
        Wait("ringing"),
        Dtmf("12#"),
        Dtmf("9", True),
        Pause(2.5),
        HangUp(),
    ]
    assert (script.name, script.stay_s, script.hang_up_at_s) == ("asks and interrupts", 5.0, 60.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "the caller script is not YAML"),
        ("steps: 1", "the caller script: steps:"),
        ("steps: []\nspeed: 2", "the caller script: speed: unknown key"),
        ("steps:\n- sya: hello", "step 1: expected exactly one of .*did you mean say"),
        ("steps:\n- hangup\n- {say: hello, dtmf: '1'}", "step 2: expected exactly one of"),
        ("steps:\n- {say: hello, loud: true}", "step 1: loud: unknown key"),
        ("steps:\n- wait: forever", "step 1: wait"),
        ("steps:\n- wait: -1", "step 1: wait"),
        ("steps:\n- dtmf: abc", "step 1: dtmf"),
        ("steps:\n- {say: hello, keys: [{at_ms: 4, digit: x}]}", "step 1: keys.0.digit"),
        ("steps:\n- {say: hello, keys: [{at: 4, digit: '1'}]}", "step 1: keys.0.at_ms: field required"),
        ("steps:\n- barge_in: {after_ms: [900, 300], say: hello}", "step 1: barge_in.after_ms: the range must rise"),
        ("steps:\n- barge_in: {after_ms: [900], say: hello}", "step 1: barge_in.after_ms"),
        ("steps:\n- backchannel: {say: hello}", "step 1: backchannel.after_ms: field required"),
        ("steps:\n- backchanel: {say: hello}", "did you mean backchannel"),
        ("steps:\n- say: nothing", "cannot read nothing.ulaw"),
        ("steps:\n- say: ../secret", "inside the clips directory"),
        ("steps:\n- say: wave", "not raw mu-law"),
        ("steps:\n- 5", "step 1: expected a mapping"),
    ],
)
def test_a_wrong_script_is_refused_with_its_place(clips: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_script(text, clips)


def test_a_missing_file_is_a_sentence(clips: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read none.yaml"):
        load_script(clips / "none.yaml", clips)
