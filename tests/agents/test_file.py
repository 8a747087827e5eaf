"""The agents file: what a good one becomes, and the sentences a bad one gets."""

import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.realtime import RealtimeClientEvent
from pydantic import TypeAdapter, ValidationError

import gateway.agents
from gateway.agents import Agent, AgentsFile, load_agents, resolve_secret, schema
from gateway.errors import ConfigError
from tests.agents.meaning import session_of

FULL = """\
# yaml-language-server: $schema=agents.schema.json
agents:
  support:
    numbers: ["+14155550199", +442079460000]
    instructions: |
      You answer for Acme.
    voice: cedar
    model: gpt-realtime-2.1-mini
    greeting: "Hello, this is Acme."
    language: no
    transcription: {model: gpt-transcribe, prompt: Acme}
    turn_detection: {type: semantic_vad, eagerness: low}
    noise_reduction: near_field
    tools:
      - name: lookup_order
        description: Looks up an order.
        parameters:
          type: object
          properties: {order_id: {type: string}}
          required: [order_id]
        url: https://api.example.com/orders
        secret: env:ORDERS_WEBHOOK_SECRET
        timeout_s: 8
        headers: {X-Tenant: acme}
    limits: {max_duration_s: 1800, max_cost_usd: 2.0}
    fallback: {say: "Sorry.", dial: "+14155550100"}
    recording: true
    price_as: gpt-realtime
    hang_up: true
  other:
    default: true
    instructions: You take messages.
    transcription: null
    hang_up: false
"""

BAD = """\
agents:
  support:
    numbers: ["+14155550199", "4155550199"]
    instructons: hi
    threshold: 3
    turn_detection: {type: server_vad, threshold: 7}
    tools:
      - name: lookup
        description: x
        url: https://api.example.com/orders
        secret: hunter2-is-the-secret
        timeout: 3
        parameters: {type: object, properties: []}
      - name: lookup
        description: !!python/object:os.system y
        url: ftp://api.example.com/orders
  b:
    numbers: ["+14155550199"]
    instructions: x
    instructions: y
    turn_detection: {threshold: 7}
    default: true
  c: {instructions: z, default: true}
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A path in the current folder, so that messages begin with the bare name."""
    monkeypatch.chdir(tmp_path)
    return Path("agents.yaml")


def refusal(file: Path, text: str | bytes) -> str:
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ConfigError) as caught:
        load_agents(file)
    assert caught.value.__cause__ is None
    return str(caught.value)


def loaded(file: Path, text: str) -> AgentsFile:
    file.write_text(text)
    return load_agents(file)


def session(agent: Agent) -> dict[str, Any]:
    return session_of(agent)


def test_a_full_file_is_read(file: Path) -> None:
    agents = loaded(file, FULL)
    agent = agents.for_number("+442079460000")
    assert agent is not None and agent.name == "support"
    assert agent.language == "no"
    assert agent.tools[0].headers == {"X-Tenant": "acme"}
    assert agent.fallback.dial == "+14155550100"


def test_a_number_nobody_lists_reaches_the_default_agent_or_none(file: Path) -> None:
    agents = loaded(file, FULL)
    other = agents.for_number("+14155550111")
    assert other is not None and other.name == "other"
    assert loaded(file, FULL.replace("default: true", "default: false")).for_number("+14155550111") is None


def test_the_session_config_is_a_valid_client_event_of_the_sdk(file: Path) -> None:
    for agent in loaded(file, FULL).agents.values():
        event = {"type": "session.update", "session": session(agent)}
        parsed = TypeAdapter[object](RealtimeClientEvent).validate_python(event, strict=True)
        assert type(parsed).__name__ == "SessionUpdateEvent"


def test_the_session_config_of_a_full_agent_is_exact(file: Path) -> None:
    config = session(loaded(file, FULL).agents["support"])
    assert config["type"] == "realtime"
    assert config["output_modalities"] == ["audio"]
    assert config["audio"] == {
        "input": {
            "format": {"type": "audio/pcmu"},
            "noise_reduction": {"type": "near_field"},
            "transcription": {"model": "gpt-transcribe", "prompt": "Acme", "language": "no"},
            "turn_detection": {
                "type": "semantic_vad",
                "eagerness": "low",
                "create_response": True,
                "interrupt_response": True,
            },
        },
        "output": {"format": {"type": "audio/pcmu"}, "voice": "cedar"},
    }
    assert [tool["name"] for tool in config["tools"]] == ["lookup_order", "hang_up"]
    assert set(config["tools"][0]) == {"type", "name", "description", "parameters"}
    assert config["tool_choice"] == "auto"


def test_defaults_are_explicit_in_the_session_config(file: Path) -> None:
    config = session(loaded(file, "agents: {a: {instructions: hi}}").agents["a"])
    assert config["audio"]["input"]["turn_detection"] == {
        "type": "server_vad",
        "threshold": 0.5,
        "prefix_padding_ms": 300,
        "silence_duration_ms": 500,
        "idle_timeout_ms": None,
        "create_response": True,
        "interrupt_response": True,
    }
    assert config["audio"]["input"]["transcription"] == {"model": "gpt-transcribe"}
    assert config["audio"]["output"]["voice"] == "marin"


def test_an_agent_may_have_neither_transcription_nor_hang_up(file: Path) -> None:
    config = session(loaded(file, FULL).agents["other"])
    assert config["audio"]["input"]["transcription"] is None
    assert config["tools"] == []


def test_every_mistake_is_one_line_with_its_place(file: Path) -> None:
    assert refusal(file, BAD).splitlines() == [
        "agents.yaml:2:3: 'instructions' is missing",
        'agents.yaml:3:31: numbers[1]: is not an international number; write it as "+14155550199"',
        "agents.yaml:4:5: unknown key 'instructons'; did you mean 'instructions'?",
        "agents.yaml:5:5: unknown key 'threshold' here; it belongs to another section",
        "agents.yaml:6:40: threshold: should be less than or equal to 1",
        "agents.yaml:11:9: secret: must be env:NAME or file:/path; the secret itself does not belong in this file",
        "agents.yaml:12:9: unknown key 'timeout'; did you mean 'timeout_s'?",
        'agents.yaml:13:9: parameters: is not a valid JSON Schema: [] is not of type "object"',
        "agents.yaml:14:9: this agent has a tool 'lookup' already",
        "agents.yaml:15:9: the tag tag:yaml.org,2002:python/object:os.system is not supported; "
        "write the value without it",
        "agents.yaml:16:9: url: must be a URL such as https://api.example.com/orders",
        "agents.yaml:18:15: this number belongs to agent 'support' already",
        "agents.yaml:20:5: 'instructions' is already set on line 19",
        "agents.yaml:21:5: 'type' is missing",
        "agents.yaml:23:24: agent 'b' is the default already; only one can be",
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "agents.yaml: is empty"),
        (
            "agents: [",
            "agents.yaml:1:10: while parsing a flow node expected the node content, but found '<stream end>'",
        ),
        ("- a", "agents.yaml:1:1: the document: should be keys with values"),
        ("agents: {}", "agents.yaml:1:1: agents: should have at least one entry"),
        (
            "\tagents:",
            "agents.yaml:1:1: while scanning for the next token found character '\\t' that cannot start any token",
        ),
        (b"\xff\xfe\x00", "agents.yaml: is not UTF-8 text (byte 0)"),
        (b"a: \x00", "agents.yaml: is not YAML: unacceptable character #x0000: special characters are not allowed"),
        ("[" * 10_000, "agents.yaml:1:41: is nested deeper than 40 levels"),
        ("a: &a [*a]", "agents.yaml:1:4: expands to too many values; use fewer aliases"),
        ("? [a]\n: b", "agents.yaml:1:1: 'agents' is missing\nagents.yaml:1:1: a key must be plain text"),
        (b"a" * (1024 * 1024 + 1), "agents.yaml: is over 1 MiB; this cannot be an agents file"),
    ],
)
def test_a_file_that_is_no_agents_file_is_a_sentence(file: Path, text: str | bytes, sentence: str) -> None:
    assert refusal(file, text) == sentence


def test_a_missing_file_is_a_sentence(file: Path) -> None:
    with pytest.raises(ConfigError, match=r"^agents\.yaml: cannot be read: No such file or directory$"):
        load_agents(file)


def test_an_alias_bomb_is_refused(file: Path) -> None:
    levels = [
        f"{name}: &{name} [{','.join(['*' + before] * 9)}]" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    ]
    assert "expands to too many values" in refusal(file, "\n".join(["a: &a [1,2,3,4,5,6,7,8,9]", *levels]))


def test_an_alias_may_share_tools_between_agents(file: Path) -> None:
    text = FULL.replace("    tools:\n", "    tools: &tools\n").replace("    hang_up: false", "    tools: *tools")
    agents = loaded(file, text).agents
    assert agents["other"].tools == agents["support"].tools


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("name: lookup_order", "name: hang_up", "name: 'hang_up' is built in; choose another name"),
        ("name: lookup_order", "name: look up", "name: should match pattern '^[a-zA-Z0-9_-]{1,64}$'"),
        ("X-Tenant: acme", "Authorization: abc", "headers: 'Authorization' looks like a secret, which does not belong"),
        ("X-Tenant: acme", "webhook-id: abc", "headers: 'webhook-id' is set by the gateway"),
        ("X-Tenant: acme", '"X-A\\r\\nB": abc', "headers: 'X-A\\r\\nB' is not a plain header of printable ASCII"),
        ("X-Tenant: acme", '"X-A": "b\\r\\nc"', "headers: 'X-A' is not a plain header of printable ASCII"),
        ("//api.example.com", "//u:p@api.example.com", "url: must not hold a user, password or fragment"),
        ("api.example.com", "api.example.com:99999", "url: must be a URL such as https://api.example.com/orders"),
        ("{type: string}", "{$ref: 'http://127.0.0.1:1/x'}", "parameters: is not a valid JSON Schema: Resource"),
        ("near_field", "midfield", "noise_reduction: should be 'near_field' or 'far_field'"),
        (
            "semantic_vad, eagerness: low",
            "vad",
            "turn_detection: type should be one of 'server_vad', 'semantic_vad', 'man",
        ),
        ("timeout_s: 8", "timeout_s: soon", "timeout_s: should be a number"),
        ("hang_up: false", "hang_up: maybe", "hang_up: should be true or false"),
        ("name: lookup_order", "name: 5", "name: should be text; put it in quotes"),
        ('"+14155550100"', '"+1 415 555 0100"', 'dial: must be + and digits only, such as "+14155550199"'),
        ('"+14155550100"', '"+11235550100"', "dial: is not a valid number in its country"),
        ("timeout_s: 8", "timeout_s: 1e999", "timeout_s: should be a finite number"),
    ],
)
def test_one_wrong_value_is_one_sentence(file: Path, old: str, new: str, sentence: str) -> None:
    text = refusal(file, FULL.replace(old, new, 1))
    assert text.count("\n") == 0
    assert text.split(": ", 1)[1].startswith(sentence)


def test_no_number_and_no_secret_is_in_any_refusal(file: Path) -> None:
    text = refusal(file, BAD)
    assert "hunter2" not in text and "4155550199" not in text.replace('"+14155550199"', "")


def test_the_content_hash_changes_with_the_meaning_only(file: Path) -> None:
    first = loaded(file, FULL).content_hash
    assert loaded(file, "# a comment\n" + FULL).content_hash == first
    assert loaded(file, FULL.replace("Sorry.", "Pardon.")).content_hash != first


def test_shared_numbers_are_refused_when_agents_are_built_in_code() -> None:
    agent = {"instructions": "x", "numbers": ["+14155550199"]}
    with pytest.raises(ValidationError, match="this number belongs to agent 'a' already"):
        AgentsFile.model_validate({"agents": {"a": agent, "b": agent}})


def test_the_schema_describes_every_key_for_editors() -> None:
    document = schema()
    assert document["$schema"].startswith("https://json-schema.org/")
    for part in [document, *document["$defs"].values()]:
        for name, field in part["properties"].items():
            assert "description" in field or "const" in field or "enum" in field, name


@pytest.mark.parametrize(
    ("keys", "right"),
    [
        ("{}", True),
        ("{turn_detection: spelling, barge_in: reversible, early_reply: true, idle: true}", True),
        ("{turn_detection: {type: manual, key: null}, barge_in: {confirm_ms: 400}, idle: null}", True),
        ('{transfer: {targets: {a: {number: "+14155550100", mode: warm, accept_key: ""}}}}', True),
        ("{schedule_callback: true, opt_out: true, set_language: [en, es]}", True),
        (
            "{schedule_callback: null, openapi: [{document: d, defaults: {timeout_s: 3, speak_while_waiting: null}}]}",
            True,
        ),
        ("{mcp: [{name: s, command: c, overrides: {t: {bounds: {a: {fixed: [1, x]}}}}}]}", True),
        ("{turn_detection: slow}", False),
        ("{schedule_callback: soon}", False),
        ("{openapi: [{document: d, defaults: {timeout: 3}}]}", False),
        ("{events: {url: 'https://a.example/e', types: []}}", False),
        ("{barge_in: maybe}", False),
        ("{early_reply: {confirm: 3}}", False),
        ("{transfer: {targets: {}}}", False),
    ],
)
def test_an_editor_with_the_schema_agrees_with_the_gateway(file: Path, keys: str, right: bool) -> None:
    document = {"agents": {"a": {"instructions": "x", **yaml.safe_load(keys)}}}
    assert jsonschema_rs.validator_for(schema()).is_valid(document) is right
    file.write_text(json.dumps(document))
    if right:
        load_agents(file)
    else:
        with pytest.raises(ConfigError):
            load_agents(file)


def test_the_examples_of_the_readme_are_sound_files(file: Path) -> None:
    readme = Path(gateway.agents.__file__).with_name("README.md").read_text()
    whole, *parts = re.findall(r"^```yaml\n(.*?)^```", readme, re.DOTALL | re.MULTILINE)
    assert loaded(file, whole).agents["support"].transfer is not None
    indented = [re.sub("^(?=.)", "    ", part, flags=re.MULTILINE) for part in parts]
    read = [loaded(file, f"agents:\n  a:\n    instructions: x\n{part}").agents["a"] for part in indented]
    said = set().union(*(agent.model_fields_set for agent in read))
    assert said >= {"set_language", "schedule_callback", "opt_out", "tools", "openapi", "mcp", "lookup", "events"}
    validator = jsonschema_rs.validator_for(schema())
    for part in parts:
        assert validator.is_valid({"agents": {"a": {"instructions": "x", **yaml.safe_load(part)}}})


def test_secrets_are_resolved_from_environment_and_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ORDERS", " whsec_abc ")
    assert resolve_secret("env:ORDERS").get_secret_value() == "whsec_abc"
    (tmp_path / "s").write_text("raw\n")
    assert resolve_secret(f"file:{tmp_path / 's'}").get_secret_value() == "raw"


def test_a_secret_is_found_in_dotenv_and_the_environment_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("ORDERS='whsec_dotenv'\nOTHER=\n")
    monkeypatch.setenv("ORDERS", "")  # as compose passes what is not set
    assert resolve_secret("env:ORDERS").get_secret_value() == "whsec_dotenv"
    assert "whsec_dotenv" not in os.environ.values()
    monkeypatch.setenv("ORDERS", "whsec_own")
    assert resolve_secret("env:ORDERS").get_secret_value() == "whsec_own"
    with pytest.raises(ConfigError, match="^the environment variable OTHER is not set$"):
        resolve_secret("env:OTHER")
    (tmp_path / ".env").write_bytes(b"ORDERS=\xff\n")
    with pytest.raises(ConfigError, match="^.env: cannot be read: UnicodeDecodeError$"):
        resolve_secret("env:OTHER")


def test_a_secret_that_cannot_be_resolved_is_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ORDERS", raising=False)
    with pytest.raises(ConfigError, match="^the environment variable ORDERS is not set$"):
        resolve_secret("env:ORDERS")
    with pytest.raises(ConfigError, match=r"^the secret file /nowhere/x cannot be read: No such file or directory$"):
        resolve_secret("file:/nowhere/x")
    (tmp_path / "s").write_text("\n")
    with pytest.raises(ConfigError, match="is empty$"):
        resolve_secret(f"file:{tmp_path / 's'}")


BEHAVIOUR = """\
  third:
    instructions: x
    turn_detection: {type: manual, key: "#", own_ear: true, silence_duration_ms: 700}
    barge_in: {confirm_ms: 600, backchannels: [mm-hm, ja]}
    idle: {after_s: 15, prompts: ["Hello?"]}
    transfer:
      targets:
        desk: {number: "+14155550100", mode: warm, brief: A caller., accept_key: "1", ring_s: 20}
    openapi: [{document: d.yaml, auth: {kind: query, name: key, secret: env:K}, tools: {a: {effect: read}}}]
    mcp: [{name: s, command: c, args: [x], env: {TOKEN: env:T}, overrides: {t: {bounds: {a: {fixed: "{{x}}"}}}}}]
    events: {url: "https://a.example/e", types: [call.ended]}
    schedule_callback: {agent: fourth, max_days: 3}
  fourth: {instructions: x, turn_detection: patient, early_reply: {confirm_ms: 600}, barge_in: reversible}
"""
WHOLE = FULL + BEHAVIOUR
ODD = st.text("a0+-:{}[]\"'&*!|>?#,\n \t~é\x00", max_size=6)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(WHOLE)), st.integers(0, 12), ODD), max_size=4))
def test_a_mangled_file_is_read_or_refused_in_sentences(changes: list[tuple[int, int, str]]) -> None:
    text = WHOLE
    for at, cut, new in changes:
        text = text[:at] + new + text[at + cut :]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "agents.yaml"
        path.write_text(text)
        try:
            load_agents(path)
        except ConfigError as error:
            assert all(line.startswith(str(path)) for line in str(error).splitlines())
