"""Sections for functions from elsewhere, and for what surrounds a call."""

from pathlib import Path

import pytest

from gateway.agents import Agent, AgentsFile, Mcp, OpenApi, ToolPolicy, load_agents
from gateway.agents.references import Reference, addresses, references
from gateway.errors import ConfigError

URL = "url: 'https://a.example/x'"


def refusal(folder: Path, keys: str) -> str:
    path = folder / "a.yaml"
    path.write_text(f"agents:\n  a:\n    instructions: x\n    {keys}\n")
    with pytest.raises(ConfigError) as caught:
        load_agents(path)
    place, _, sentence = str(caught.value).removeprefix(f"{path}:").partition(": ")
    assert place.startswith("4:") and "\n" not in sentence
    return sentence


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ("document: 'https://a.example/o.json'", "document: should be a file; what a call may do must not change"),
        ("document: d, server: x", "server: must be a URL such as"),
        ("document: d, server: 'https://a.example/v1?x=1'", "server: should end before the path of an operation"),
        ("document: d, secret: hunter2", "secret: must be env:NAME or file:/path; the secret itself does not belong"),
        ("document: d, headers: {Authorization: x}", "headers: 'Authorization' looks like a secret, which does not"),
        ("document: d, auth: {kind: bearer, secret: hunter2}", "secret: must be env:NAME or file:/path"),
        ("document: d, auth: {kind: bearer, name: x, secret: 'env:A'}", "auth: bearer has no name"),
        ("document: d, auth: {kind: header, secret: 'env:A'}", "auth: header needs the name of the header"),
        ("document: d, auth: {kind: header, name: Host, secret: 'env:A'}", "auth: 'Host' is not a header that can be"),
        ("document: d, auth: {kind: query, name: a b, secret: 'env:A'}", "auth: 'a b' is not a plain parameter name"),
        ("document: d, exclude: [a], operations: [a]", "openapi[0]: 'a' is both offered and excluded"),
        ("document: d, tools: {a: {name: hang_up}}", "name: 'hang_up' is built in; choose another name"),
        ("document: d, tools: {a: {nam: x}}", "unknown key 'nam'; did you mean 'name'?"),
        ("document: d, defaults: {timeout_s: 0}", "timeout_s: should be greater than or equal to 0.1"),
    ],
)
def test_a_mistake_in_openapi_is_one_sentence(tmp_path: Path, keys: str, sentence: str) -> None:
    told = refusal(tmp_path, f"openapi: [{{{keys}}}]")
    assert told.startswith(sentence) and "hunter2" not in told


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ("name: s", "mcp[0]: should have either a command or a url"),
        (f"name: s, command: c, {URL}", "mcp[0]: should have either a command or a url"),
        (f"name: s, {URL}, args: [a]", "mcp[0]: args, env and cwd belong to a command"),
        ("name: s, command: c, headers: {X-A: y}", "mcp[0]: headers and auth belong to a url"),
        ("name: s, command: c, env: {API_KEY: hunter2}", "env: 'API_KEY' is the name of a secret, so its value must"),
        ("name: s, command: c, env: {TOK: hunter2}", "env: 'TOK' is the name of a secret, so its value must be env:"),
        ("name: s, command: c, env: {shop_key: hunter2}", "env: 'shop_key' is the name of a secret, so its value must"),
        ("name: s, command: c, env: {A B: x}", "env: 'A B' is not a plain variable"),
        ("name: s, command: c, args: ['--api-key=hunter2']", "args: '--api-key' looks like a secret"),
        ("name: s, command: c, tools: []", "tools: should have at least one entry"),
        ("name: s, command: c, tools: [b], overrides: {d: {}}", "mcp[0]: overrides: 'd' is not among the tools"),
        ("name: s, command: c}, {name: s, command: d", "this agent has a server 's' already"),
        ("name: S 1, command: c", "name: should match pattern"),
    ],
)
def test_a_mistake_in_mcp_is_one_sentence(tmp_path: Path, keys: str, sentence: str) -> None:
    told = refusal(tmp_path, f"mcp: [{{{keys}}}]")
    assert told.startswith(sentence) and "hunter2" not in told


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        (f"events: {{{URL}, types: [call.begun]}}", "types[0]: should be 'call.started', 'transcript.turn',"),
        (f"events: {{{URL}, types: []}}", "types: should have at least one entry"),
        (f"events: {{{URL}, secret: hunter2}}", "secret: must be env:NAME or file:/path"),
        (f"lookup: {{{URL}, timeout_s: 9}}", "timeout_s: should be less than or equal to 5"),
        ("lookup: {url: 'http://u:hunter2@a.example'}", "url: must not hold a user, password or fragment"),
        ("schedule_callback: soon", "schedule_callback: should be true, false, or a section such as {max_days: 7}"),
        ("schedule_callback: {agent: nobody}", "there is no agent 'nobody' in this file"),
        ("set_language: []", "set_language: should have at least one entry"),
        ("set_language: [English]", "set_language[0]: should match pattern"),
        ("opt_out: maybe", "opt_out: should be true or false"),
    ],
)
def test_a_mistake_around_a_call_is_one_sentence(tmp_path: Path, keys: str, sentence: str) -> None:
    told = refusal(tmp_path, keys)
    assert told.startswith(sentence) and "hunter2" not in told


def test_what_is_not_said_has_the_documented_defaults() -> None:
    made = Agent.model_validate(
        {
            "instructions": "x",
            "events": {"url": "https://a.example/e"},
            "lookup": {"url": "https://a.example/l"},
            "schedule_callback": True,
        }
    )
    assert made.events is not None and made.events.types == ("call.started", "call.ended")
    assert made.lookup is not None and made.lookup.timeout_s == 1.5
    assert made.schedule_callback is not None and made.schedule_callback.max_days == 14
    assert Agent.model_validate({"instructions": "x", "schedule_callback": False}).schedule_callback is None


@pytest.mark.parametrize(
    ("section", "operation", "tags", "offered"),
    [
        ({}, "a", [], True),
        ({"exclude": ["a"]}, "a", [], False),
        ({"tags": ["orders"]}, "a", ["orders", "x"], True),
        ({"tags": ["orders"]}, "a", ["x"], False),
        ({"tags": ["orders"], "operations": ["a"]}, "a", [], True),
        ({"operations": ["a"]}, "b", ["orders"], False),
        ({"operations": []}, "a", [], False),
        ({"tags": ["orders"], "exclude": ["a"]}, "a", ["orders"], False),
    ],
)
def test_operations_are_chosen_by_tag_and_by_name(
    section: dict[str, object], operation: str, tags: list[str], offered: bool
) -> None:
    assert OpenApi.model_validate({"document": "d.yaml", **section}).offers(operation, tags) is offered


def test_the_policy_of_an_operation_is_what_is_said_last() -> None:
    section = OpenApi.model_validate(
        {
            "document": "d.yaml",
            "defaults": {"timeout_s": 5, "idempotent": True},
            "tools": {"refund": {"requires_confirmation": "key", "timeout_s": 20}},
        }
    )
    read = ToolPolicy(effect="read")
    assert section.policy("list", read) == ToolPolicy(effect="read", timeout_s=5, idempotent=True)
    refund = section.policy("refund", ToolPolicy())
    assert (refund.timeout_s, refund.idempotent, refund.requires_confirmation) == (20, True, "key")


def test_the_time_out_of_a_server_is_that_of_its_tools_unless_they_say_otherwise() -> None:
    section = Mcp.model_validate({"name": "s", "command": "c", "timeout_s": 3, "overrides": {"t": {"timeout_s": 4}}})
    assert section.policy("t", ToolPolicy()).timeout_s == 4
    assert section.policy("u", ToolPolicy()).timeout_s == 3


def test_relative_paths_begin_at_the_folder_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "agents.yaml").write_text("agents: {a: {instructions: x}}")
    monkeypatch.chdir(tmp_path)
    agents = load_agents(Path("agents.yaml"))
    monkeypatch.chdir("/")
    assert agents.folder == tmp_path
    assert AgentsFile.model_validate({"agents": {"a": {"instructions": "x"}}}).folder == Path()


def test_a_variable_whose_name_is_no_secrets_may_be_plain() -> None:
    plain = {"MODE": "fast", "KEYBOARD": "de", "PWD": "/tmp", "PATH_PREFIX": "x"}
    assert Mcp(name="s", command="c", env={**plain, "TOK": "env:T"}).env_secrets == {"TOK": "env:T"}


def test_every_secret_and_address_an_agent_names_is_known() -> None:
    file = AgentsFile.model_validate(
        {
            "agents": {
                "a": {
                    "instructions": "x",
                    "tools": [{"name": "t", "description": "d", "url": "https://a.example/t", "secret": "env:T"}],
                    "openapi": [
                        {
                            "document": "d.yaml",
                            "server": "https://a.example/v1",
                            "auth": {"kind": "basic", "secret": "env:LOGIN"},
                        },
                        {"document": "e.yaml", "sign": False},
                    ],
                    "mcp": [
                        {"name": "files", "command": "c", "env": {"TOKEN": "file:/run/t", "MODE": "fast"}},
                        {
                            "name": "far",
                            "url": "https://a.example/mcp",
                            "auth": {"kind": "bearer", "secret": "env:FAR"},
                        },
                    ],
                    "lookup": {"url": "https://a.example/l"},
                    "events": {"url": "https://a.example/e", "secret": "env:E"},
                }
            }
        }
    )
    assert list(references(file.agents["a"])) == [
        Reference("a/t", "env:T", True),
        Reference("a/openapi[0]", None, True, may_lack=True),
        Reference("a/openapi[0] auth", "env:LOGIN", False, True),
        Reference("a/files TOKEN", "file:/run/t", False),
        Reference("a/far auth", "env:FAR", False),
        Reference("the lookup of a", None, True),
        Reference("the events of a", "env:E", True),
    ]
    assert [place for place, _ in addresses(file.agents["a"])] == [
        "a/t",
        "a/openapi[0]",
        "a/far",
        "the lookup of a",
        "the events of a",
    ]
