"""`gateway operate` and `gateway key`, as processes where it matters; the calls are scripted."""

import asyncio
import json
import sys
from io import StringIO
from pathlib import Path

import pytest

from gateway.apikeys import KeyRing
from gateway.core import operator as ask
from gateway.errors import ConfigError
from gateway.operator.command import make_key, operate
from gateway.operator.routes import CallView
from tests.gateway_process import clean_environment, free_port
from tests.operator.calls import CALL, KEY, Desk, ScriptedCall

pytestmark = pytest.mark.e2e
LIMIT_S = 60
KEYS = {"GATEWAY_CLIENT_KEY": KEY}
VIEW = CallView(CALL, "support", "inbound", "active", 12.5, "+1•••0101", "+1•••0199")


async def gateway(folder: Path, *arguments: str, **settings: str) -> tuple[int | None, str, str]:
    """Run the command line; return exit code, stdout and stderr."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", *arguments),
        cwd=folder,
        env=clean_environment(folder, **settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


def asked(folder: Path, desk: Desk, *arguments: str, **settings: str) -> tuple[int | None, str, str]:
    async def main() -> tuple[int | None, str, str]:
        async with asyncio.timeout(LIMIT_S), desk.serving() as client:
            return await gateway(folder, "operate", *arguments, "--url", str(client.base_url), **(settings or KEYS))

    return asyncio.run(main())


def test_an_action_is_done_with_its_fields(tmp_path: Path) -> None:
    desk = Desk()
    done = asked(tmp_path, desk, CALL, "say", "text=One = 1.", "interruptible=false")
    assert done == (0, "say: done\n", "")
    (it,) = desk.call.asked
    assert (it.who, it.action) == ("night-shift", ask.Say("One = 1.", interruptible=False))


def test_an_id_makes_it_once_and_json_is_the_only_document(tmp_path: Path) -> None:
    desk = Desk()
    arguments = [CALL, "turn_taking", 'turn_detection={"type": "semantic_vad"}', "--id", "mine", "--json"]
    for outcome in ("done", "repeated"):
        code, out, err = asked(tmp_path, desk, *arguments)
        assert (code, err) == (0, "")
        assert json.loads(out) == {"id": "mine", "call_id": CALL, "outcome": outcome}
    assert len(desk.call.asked) == 1


def test_a_refusal_is_exit_code_1_and_says_why(tmp_path: Path) -> None:
    desk = Desk(calls={CALL: ScriptedCall(refuses="no target of this name")})
    assert asked(tmp_path, desk, CALL, "transfer", "target=mars") == (
        1,
        "",
        "gateway: refused: no target of this name\n",
    )
    code, out, _ = asked(tmp_path, desk, "call_x", "hang_up", "--json")
    assert (code, json.loads(out)["error"]["code"]) == (1, "not_found")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([CALL, "sya"], "'sya' is no action; did you mean say?"),
        ([CALL, "frobnicate"], "'frobnicate' is no action; there are mute_caller"),
        ([CALL, "say"], "text is missing"),
        ([CALL, "say", "hello"], "'hello' is not expected; say takes text=… interruptible=…"),
        ([CALL, "hang_up", "now=1"], "'now' is not expected; hang_up takes no fields"),
        ([CALL, "collect_digits", "max_digits=x"], "max_digits must be a whole number"),
        ([CALL, "turn_taking", "turn_detection=hasty"], "turn_detection should be one of default"),
        (["../../x", "unmute"], "a call's id looks like call_"),
    ],
)
def test_a_mistake_is_told_before_anybody_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    call_id, action, *fields = arguments
    with pytest.raises(ConfigError) as mistake:
        operate(call_id, action, fields)
    assert words in str(mistake.value)


def test_without_a_call_and_an_action_the_usage_is_told(tmp_path: Path) -> None:
    code, out, err = asked(tmp_path, Desk(), CALL)
    assert (code, out) == (2, "")
    assert "give a call's id and an action, or --list" in err


def test_a_key_that_the_gateway_does_not_know_is_exit_code_2(tmp_path: Path) -> None:
    code, out, err = asked(tmp_path, Desk(), CALL, "unmute", GATEWAY_CLIENT_KEY="another-key-0123456789")
    assert (code, out) == (2, "")
    assert err == ("gateway: the gateway does not know the first key of GATEWAY_API_KEYS (or GATEWAY_CLIENT_KEY)\n")


def test_without_a_key_there_is_nothing_to_present(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="GATEWAY_API_KEYS is not set"):
        operate(CALL, "unmute")
    monkeypatch.setenv("GATEWAY_API_KEYS", "sha256:" + "0" * 64)
    with pytest.raises(ConfigError, match="GATEWAY_API_KEYS holds hashes only"):
        operate(CALL, "unmute")


def test_without_a_gateway_it_is_exit_code_2(tmp_path: Path) -> None:
    code, _, err = asyncio.run(gateway(tmp_path, "operate", CALL, "unmute", GATEWAY_PORT=str(free_port()), **KEYS))
    assert code == 2
    assert "no gateway answers at http://127.0.0.1:" in err and err.count("\n") == 1


def test_live_calls_are_listed(tmp_path: Path) -> None:
    code, out, err = asked(tmp_path, Desk(views=[VIEW]), "--list")
    assert (code, err) == (0, "")
    assert all(word in out for word in (CALL, "support", "active", "12.5 s", "+1•••0101"))
    code, out, err = asked(tmp_path, Desk(), "--list")
    assert (code, out, err) == (0, "no live calls\n", "")


def test_a_key_is_shown_once_with_the_entry_that_lets_it_in(tmp_path: Path) -> None:
    code, out, err = asyncio.run(gateway(tmp_path, "key", "crm"))
    assert (code, err) == (0, "")
    key = next(line for line in out.splitlines() if line.startswith("gwk_"))
    entry = next(line for line in out.splitlines() if line.startswith("crm:sha256:"))
    assert key not in entry
    assert KeyRing([entry]).name_of(f"Bearer {key}") == "crm"


def test_a_key_that_one_has_is_hashed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", StringIO(f"{KEY}\n"))
    assert make_key("crm", stdin=True) == 0
    assert KeyRing([capsys.readouterr().out.strip()]).name_of(f"Bearer {KEY}") == "crm"


@pytest.mark.parametrize(("name", "given"), [("a b", KEY), ("crm", "short"), ("crm", ""), ("sha256", KEY)])
def test_what_cannot_be_a_key_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, given: str) -> None:
    monkeypatch.setattr(sys, "stdin", StringIO(given))
    with pytest.raises(ConfigError, match="a key"):
        make_key(name, stdin=True)
