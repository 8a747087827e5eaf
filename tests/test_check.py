"""`gateway check` against real loopback servers: what it finds, and what it tells the operator to do."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

import pytest
from pydantic import SecretStr
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from gateway.agents import load_agents
from gateway.check import CheckResult, _carrier, run_checks
from gateway.checkdoors import check_ari
from gateway.config import Settings
from gateway.errors import ConfigError
from gateway.preflight import missing_secrets, secret_texts
from tests.tools.server import Business, answer, business

KEY = "sk-test-0123456789abcdef"
TOKEN = "f" * 32
SID = "AC" + "0" * 32
NUMBER = "+14155550199"
AGENTS = """\
agents:
  support:
    numbers: ["+14155550199"]
    instructions: x
    tools:
      - {name: lookup, description: x, url: "http://127.0.0.1:9/orders", secret: "env:CHECK_TEST_SECRET",
         effect: read}
"""

Talk = Callable[[ServerConnection], Awaitable[None]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHECK_TEST_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    (tmp_path / "agents.yaml").write_text(AGENTS)
    return tmp_path


def settings(**changes: object) -> Settings:
    complete: dict[str, object] = {
        "openai_api_key": SecretStr(KEY),
        "twilio_auth_token": SecretStr(TOKEN),
        "public_url": "http://127.0.0.1:8080",
    }
    return Settings.model_validate(complete | changes)


def check(given: Settings | ConfigError, *, network: bool = False) -> dict[str, CheckResult]:
    results = asyncio.run(run_checks(given, Path("agents.yaml"), network=network))
    return shown(results)


def shown(results: list[CheckResult]) -> dict[str, CheckResult]:
    """Return the results by name; every one that complains says what to do, and none shows a secret or number."""
    for result in results:
        assert bool(result.fix) == (not result.ok or result.warning)
        text = repr(result)
        assert KEY not in text and TOKEN not in text and NUMBER not in text and "Traceback" not in text
    return {result.name: result for result in results}


@asynccontextmanager
async def http(answers: Mapping[str, tuple[int, object]]) -> AsyncIterator[Business]:
    """Serve one answer per path with query; anything else is 404."""
    running: list[Business] = []

    async def reply(writer: asyncio.StreamWriter) -> None:
        path = running[0].received[-1].line.split()[1]
        await answer(*answers.get(path, (404, {})))(writer)

    async with business(reply) as server:
        running.append(server)
        yield server


def test_a_sound_set_up_passes_without_the_network(folder: Path) -> None:
    results = check(settings(public_url="https://voice.example.com"))
    assert {name: result.detail for name, result in results.items()} == {
        "settings": "complete",
        "agents file": "agents: 1, numbers: 1",
        "secret of support/lookup": "found",
        "doors": "open: twilio",
        "recordings": "recordings will be created",
        "database": "gateway.db will be created",
        "public url": "set",
    }
    assert [path.name for path in folder.iterdir()] == ["agents.yaml"]
    assert all(result.ok and not result.warning for result in results.values())


def test_settings_that_cannot_be_read_are_listed_and_the_file_is_still_checked(folder: Path) -> None:
    results = asyncio.run(
        run_checks(ConfigError("GATEWAY_PORT: a\nGATEWAY_HOST: b"), Path("agents.yaml"), network=True)
    )
    assert [(result.name, result.ok, result.detail) for result in results] == [
        ("settings", False, "GATEWAY_PORT: a"),
        ("settings", False, "GATEWAY_HOST: b"),
        ("agents file", True, "agents: 1, numbers: 1"),
    ]


def test_missing_variables_are_failures(folder: Path) -> None:
    results = asyncio.run(run_checks(settings(openai_api_key=None, twilio_auth_token=None), Path("x"), network=False))
    assert [result.detail for result in results[:3]] == [
        "OPENAI_API_KEY is not set: the realtime model will refuse every call",
        "TWILIO_AUTH_TOKEN is not set, nor a setting that opens the door of another carrier: nobody can call",
        "x: cannot be read: No such file or directory",
    ]


def test_each_mistake_of_the_agents_file_is_a_failure(folder: Path) -> None:
    (folder / "agents.yaml").write_text("agents: {a: {instructons: x}}")
    results = asyncio.run(run_checks(settings(), Path("agents.yaml"), network=True))
    assert [result.detail for result in results if result.name == "agents file"] == [
        "agents.yaml:1:10: 'instructions' is missing",
        "agents.yaml:1:14: unknown key 'instructons'; did you mean 'instructions'?",
    ]


def test_an_agent_nobody_can_call_is_a_warning(folder: Path) -> None:
    (folder / "agents.yaml").write_text("agents: {a: {instructions: x}}")
    assert check(settings())["agents file"].warning


def test_what_cannot_work_on_a_call_is_told_with_the_rest(folder: Path) -> None:
    target = '{targets: {desk: {number: "+442079460000"}}}'
    (folder / "agents.yaml").write_text(AGENTS + f"    transfer: {target}\n    collect_digits: true\n")
    results = check(settings(public_url="https://voice.example.com"))
    assert not results["transfer of support"].ok
    assert results["digits of support"].warning


def test_a_missing_secret_is_a_failure(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CHECK_TEST_SECRET")
    found = check(settings())["secret of support/lookup"]
    assert (found.ok, found.detail) == (False, "the environment variable CHECK_TEST_SECRET is not set")


AROUND = """\
    openapi:
      - {document: d.yaml, server: "http://127.0.0.1:9/v1", auth: {kind: basic, secret: "env:CHECK_TEST_LOGIN"}}
    mcp:
      - {name: crm, url: "http://127.0.0.1:9/mcp", auth: {kind: bearer, secret: "env:CHECK_TEST_KEY"}}
    lookup: {url: "http://127.0.0.1:9/lookup"}
    events: {url: "http://127.0.0.1:9/events", secret: "env:CHECK_TEST_SECRET"}
"""


def test_every_secret_that_is_named_is_looked_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "agents.yaml").write_text(AGENTS + AROUND)
    monkeypatch.setenv("CHECK_TEST_LOGIN", "no-colon-hunter2")
    found = {name: result.detail for name, result in check(settings()).items() if name.startswith("secret of")}
    assert found == {
        "secret of support/lookup": "found",
        "secret of support/openapi[0]": "none; requests are not signed, `auth` alone shows who calls",
        "secret of support/openapi[0] auth": "is for kind: basic, and should hold user:password",
        "secret of support/crm auth": "the environment variable CHECK_TEST_KEY is not set",
        "secret of the lookup of support": "no signing secret; name one by `secret`, or set GATEWAY_WEBHOOK_SECRET",
        "secret of the events of support": "found",
    }
    assert list(missing_secrets(load_agents(Path("agents.yaml")), None)) == [
        "support/openapi[0] auth: is for kind: basic, and should hold user:password",
        "support/crm auth: the environment variable CHECK_TEST_KEY is not set",
        "the lookup of support: no signing secret; name one by `secret`, or set GATEWAY_WEBHOOK_SECRET",
    ]
    monkeypatch.setenv("CHECK_TEST_LOGIN", "user:hunter2")
    monkeypatch.setenv("CHECK_TEST_KEY", "hunter2")
    agents = load_agents(Path("agents.yaml"))
    assert not list(missing_secrets(agents, SecretStr("raw")))
    whole = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    assert set(secret_texts(agents)) == {whole, "user:hunter2", "hunter2"}


def test_a_signature_that_is_not_needed_may_lack(folder: Path) -> None:
    (folder / "agents.yaml").write_text(AGENTS + AROUND)
    assert check(settings())["secret of support/openapi[0]"].warning
    signed = check(settings(webhook_secret="raw"))["secret of support/openapi[0]"]
    assert (signed.ok, signed.warning, signed.detail) == (True, False, "found")


def test_secrets_of_dotenv_are_found_and_kept_out_of_the_log(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "agents.yaml").write_text(AGENTS + AROUND)
    monkeypatch.delenv("CHECK_TEST_SECRET")
    own = {"SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "LOGIN": "user:hunter2", "KEY": "crm-key"}
    (folder / ".env").write_text("".join(f"CHECK_TEST_{name}={text}\n" for name, text in own.items()))
    agents = load_agents(Path("agents.yaml"))
    assert not list(missing_secrets(agents, SecretStr("raw")))
    assert set(secret_texts(agents)) == {*own.values(), "hunter2"}


def test_a_database_file_that_is_there_is_opened(folder: Path) -> None:
    (folder / "gateway.db").touch()
    assert check(settings())["database"].detail == "sqlite opens"


def test_an_unusable_recordings_folder_is_a_failure(folder: Path) -> None:
    (folder / "file").write_text("")
    found = check(settings(recordings_dir=folder / "file" / "wav"))["recordings"]
    assert not found.ok and found.detail.endswith("cannot be written: Not a directory")
    nowhere = check(settings(recordings_dir=Path("/proc/x")))["recordings"]  # where root may write and nothing can be
    assert (nowhere.ok, nowhere.detail) == (False, "/proc/x cannot be written: No such file or directory")
    (folder / "there").mkdir()
    assert check(settings(recordings_dir=folder / "there"))["recordings"].detail.endswith("can be written")


def test_a_database_that_does_not_open_is_a_failure(folder: Path) -> None:
    (folder / "file").write_text("")
    assert not check(settings(database_url=f"sqlite:///{folder}/file/x.db"))["database"].ok
    nowhere = check(settings(database_url="sqlite:////proc/x/g.db"))["database"]
    assert (nowhere.ok, nowhere.detail) == (
        False,
        "/proc/x/g.db: the folder /proc/x is missing",
    )
    found = check(settings(database_url="postgresql://u:hunter2@127.0.0.1:1/g"))["database"]
    assert not found.ok and "hunter2" not in repr(found)


def run_public(answers: Mapping[str, tuple[int, object]]) -> CheckResult:
    async def main() -> list[CheckResult]:
        async with http(answers) as server:
            given = settings(public_url=f"http://127.0.0.1:{server.port}", model_url="ws://127.0.0.1:1/v1")
            return await run_checks(given, Path("agents.yaml"), network=True)

    return shown(asyncio.run(main()))["public url"]


def test_a_loopback_origin_is_a_warning_reached_or_not(folder: Path) -> None:
    assert run_public({"/livez": (200, {})}).detail == "the gateway answers, on this machine only"
    found = run_public({})
    assert (found.ok, found.warning) == (True, True)
    assert found.detail == "/livez answered HTTP 404: something else is behind it"


@pytest.mark.parametrize("network", [False, True])
def test_a_public_url_that_is_not_set_is_a_failure_of_its_own(folder: Path, network: bool) -> None:
    given = Settings(twilio_auth_token=SecretStr(TOKEN), model_url="ws://127.0.0.1:1/v1")
    found = check(given, network=network)["public url"]
    assert (found.ok, found.detail) == (False, "GATEWAY_PUBLIC_URL is not set: no carrier can reach this gateway")


def test_a_loopback_origin_that_was_set_is_a_warning_without_the_network_too(folder: Path) -> None:
    found = check(settings(public_url="http://127.0.0.1:8080"))["public url"]
    assert (found.ok, found.warning, found.detail) == (True, True, "is on this machine only")


def test_a_public_name_that_does_not_resolve_is_a_failure(folder: Path) -> None:
    results = check(settings(public_url="https://nowhere.invalid", model_url="ws://127.0.0.1:1/v1"), network=True)
    assert results["public url"].detail == "nowhere.invalid does not resolve"
    assert not results["public url"].ok
    # Outside development loopback is no place for a tool.
    assert not results["address of support/lookup"].ok


def run_twilio(
    account: tuple[int, object], number: tuple[int, object] = (200, {}), **changes: object
) -> dict[str, CheckResult]:
    async def main() -> list[CheckResult]:
        paths = {
            f"/2010-04-01/Accounts/{SID}.json": account,
            f"/2010-04-01/Accounts/{SID}/IncomingPhoneNumbers.json?PhoneNumber=%2B14155550199": number,
            f"/2010-04-01/Accounts/{SID}/IncomingPhoneNumbers.json?PageSize=1": (401, {}),
        }
        async with http(paths) as server:
            given = settings(
                twilio_account_sid=SID,
                twilio_api_url=f"http://127.0.0.1:{server.port}",
                model_url="ws://127.0.0.1:1/v1",
                **changes,
            )
            results = await run_checks(given, Path("agents.yaml"), network=True)
            assert all(request.headers["authorization"].startswith("Basic ") for request in server.received)
            return results

    return shown(asyncio.run(main()))


ACTIVE = (200, {"status": "active", "type": "Full"})


def test_twilio_credentials_and_a_number_that_rings_here_pass(folder: Path) -> None:
    rings = {"voice_url": "http://127.0.0.1:8080/twilio/voice", "voice_method": "POST"}
    results = run_twilio(ACTIVE, (200, {"incoming_phone_numbers": [rings]}))
    assert results["twilio account"].detail == "active, full account"
    assert results["number +1•••0199"] == CheckResult("number +1•••0199", True, "rings here")


@pytest.mark.parametrize(
    ("listed", "detail"),
    [
        ([], "is not a number of this Twilio account"),
        ([{"voice_url": "https://demo.twilio.com/welcome/voice/"}], "does not ring here"),
        ([{"voice_url": "http://127.0.0.1:8080/twilio/voice", "voice_method": "GET"}], "does not ring here"),
        ([{"trunk_sid": "TK1"}], "goes to a SIP trunk, not to a webhook"),
    ],
)
def test_a_number_that_rings_elsewhere_is_a_warning(folder: Path, listed: object, detail: str) -> None:
    found = run_twilio(ACTIVE, (200, {"incoming_phone_numbers": listed}))["number +1•••0199"]
    assert (found.ok, found.warning, found.detail) == (True, True, detail)


@pytest.mark.parametrize(
    ("account", "detail"),
    [
        ((401, {"code": 20003}), "Twilio refuses the credentials (HTTP 401)"),
        ((200, {"status": "suspended"}), "the account is suspended"),
        ((500, {}), "Twilio answered HTTP 500"),
        ((200, b"<html>"), "Twilio answered HTTP 200"),
    ],
)
def test_an_unusable_account_is_a_failure(folder: Path, account: tuple[int, object], detail: str) -> None:
    results = run_twilio(account)
    assert (results["twilio account"].ok, results["twilio account"].detail) == (False, detail)
    assert "number +1•••0199" not in results


def test_a_refused_api_key_is_a_failure(folder: Path) -> None:
    secret = SecretStr("s")
    found = run_twilio(ACTIVE, twilio_api_key_sid="SK" + "0" * 32, twilio_api_key_secret=secret)["twilio account"]
    assert found.fix == "check TWILIO_ACCOUNT_SID, GATEWAY_TWILIO_API_KEY_SID and its secret"


def run_model(talk: Talk, *, refuse: int = 0) -> dict[str, CheckResult]:
    """Check against a Realtime server that talks so, or that refuses the upgrade with this status."""

    def upgrade(connection: ServerConnection, request: Request) -> Response | None:
        assert request.path == "/v1/realtime?model=gpt-realtime-2.1"
        assert request.headers["Authorization"] == f"Bearer {KEY}"
        return connection.respond(HTTPStatus(refuse), "") if refuse else None

    async def main() -> list[CheckResult]:
        async with serve(talk, "127.0.0.1", 0, process_request=upgrade) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            given = settings(model_url=f"http://127.0.0.1:{port}/v1")
            return await run_checks(given, Path("agents.yaml"), network=True)

    return shown(asyncio.run(main()))


def realtime(updated: object) -> Talk:
    """Talk as a server that answers `session.update` so; by default it echoes the session."""

    async def talk(socket: ServerConnection) -> None:
        await socket.send(json.dumps({"type": "session.created", "event_id": "e", "session": {}}))
        async for text in socket:
            asked = json.loads(text)
            await socket.send(json.dumps(updated or {"type": "session.updated", "session": asked["session"]}))

    return talk


def test_a_model_that_accepts_key_and_session_passes(folder: Path) -> None:
    results = run_model(realtime(None))
    assert results["model gpt-realtime-2.1"].detail == "reachable, key accepted"
    assert results["session of support"].detail == "accepted, mu-law both ways"
    assert results["address of support/lookup"].ok


@pytest.mark.parametrize(
    ("status", "detail"),
    [
        (401, "the key is refused (401)"),
        (404, "no Realtime endpoint there, or no such model (404)"),
        (429, "the quota or rate limit is exhausted (429)"),
        (503, "refused (503): refused with 503"),
    ],
)
def test_a_refused_upgrade_is_explained(folder: Path, status: int, detail: str) -> None:
    results = run_model(realtime(None), refuse=status)
    assert (results["model gpt-realtime-2.1"].ok, results["model gpt-realtime-2.1"].detail) == (False, detail)
    assert "session of support" not in results


@pytest.mark.parametrize(
    ("error", "close", "detail"),
    [
        (None, (3000, "invalid_request_error.invalid_api_key"), "the key is refused (3000)"),
        (None, (4000, "invalid_request_error.invalid_model"), "the model is not known (4000): invalid_request_"
         "error.invalid_model"),
        (None, (1011, "server fault"), "refused (1011): server fault"),
        (
            {"type": "invalid_request_error", "code": "invalid_api_key", "message": f"Incorrect API key: {KEY}"},
            (3000, ""),
            "the key is refused (invalid_api_key)",
        ),
        (
            {"type": "insufficient_quota", "message": "You exceeded your quota"},
            (1000, ""),
            "the quota or rate limit is exhausted (insufficient_quota)",
        ),
        ({"type": "server_error", "message": f"oops {KEY}"}, (1000, ""), "refused (server_error): oops sk-[removed]"),
    ],
)  # fmt: skip
def test_a_session_refused_after_the_upgrade_is_explained(
    folder: Path, error: object, close: tuple[int, str], detail: str
) -> None:
    async def talk(socket: ServerConnection) -> None:
        if error is not None:
            await socket.send(json.dumps({"type": "error", "error": error}))
        await socket.close(*close)

    assert run_model(talk)["model gpt-realtime-2.1"].detail == detail


def test_a_server_that_speaks_something_else_is_a_failure(folder: Path) -> None:
    async def talk(socket: ServerConnection) -> None:
        await socket.send("hello")
        await socket.wait_closed()

    assert run_model(talk)["model gpt-realtime-2.1"].detail == "what answers is no Realtime server"


def test_a_session_that_is_refused_names_the_agent(folder: Path) -> None:
    refused = {"type": "error", "error": {"code": "invalid_value", "message": "Invalid value: 'marin'"}}
    found = run_model(realtime(refused))["session of support"]
    assert found.detail == "refused (invalid_value): Invalid value: 'marin'"
    assert found.fix == "change what agent support asks for in the agents file"


def test_a_server_that_keeps_24_khz_would_be_noise(folder: Path) -> None:
    formats = {"input": {"format": {"type": "audio/pcm"}}, "output": {"format": {"type": "audio/pcmu"}}}
    found = run_model(realtime({"type": "session.updated", "session": {"audio": formats}}))["session of support"]
    assert found.detail == "the server keeps the formats ['audio/pcm', 'audio/pcmu']"


def test_an_unreachable_model_is_explained(folder: Path) -> None:
    found = check(settings(model_url="ws://127.0.0.1:1/v1"), network=True)["model gpt-realtime-2.1"]
    assert found.detail == "not reached: no connection: ConnectionRefusedError"


def test_a_silent_model_is_given_up_after_its_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.findings.CHECK_S", 0.3)

    async def talk(socket: ServerConnection) -> None:
        await socket.wait_closed()

    assert run_model(talk)["model gpt-realtime-2.1"].detail == "no answer within 0.3 s"


WEBHOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def found(**more: object) -> list[CheckResult]:
    given = {"twilio_auth_token": None, "public_url": "https://voice.example.com", **more}
    return asyncio.run(run_checks(settings(**given), Path("agents.yaml"), network=False))


def doors(**more: object) -> tuple[bool, str, str]:
    """Return the one line about the doors of a deployment without Twilio."""
    (result,) = [result for result in found(**more) if result.name == "doors"]
    return result.ok, result.detail, result.fix


def test_the_doors_that_open_are_named(folder: Path) -> None:
    assert doors(twilio_auth_token=SecretStr(TOKEN)) == (True, "open: twilio", "")
    assert doors(openai_webhook_secret=SecretStr(WEBHOOK_SECRET)) == (True, "open: openai_sip", "")
    assert doors(browser_phone=True, public_url="http://127.0.0.1:8080") == (True, "open: browser", "")


def test_an_agents_file_with_errors_does_not_hide_the_doors(folder: Path) -> None:
    (folder / "agents.yaml").write_text("agents: {a: {instructons: x}}")
    assert doors(asterisk_password=SecretStr(TOKEN)) == (True, "open: asterisk", "")


@pytest.mark.parametrize(
    ("more", "detail", "fix"),
    [
        (
            {"openai_webhook_secret": "abc"},
            "OPENAI_WEBHOOK_SECRET must have at least 16 characters",
            "correct it; see gateway/carriers/openai_sip/README.md",
        ),
        (
            {"audiosocket_listen": "127.0.0.1:70000", "asterisk_password": TOKEN},
            "GATEWAY_AUDIOSOCKET_LISTEN: a port is at most 65535",
            "correct it; see gateway/carriers/audiosocket/README.md",
        ),
        (
            {"audiosocket_listen": "127.0.0.1:7000"},
            "GATEWAY_AUDIOSOCKET_LISTEN needs GATEWAY_ASTERISK_PASSWORD: with it the dialplan asks for UUIDs",
            "set it, or take away the setting that opens this door",
        ),
    ],
)
def test_a_door_that_stays_shut_is_one_line_with_advice_that_fits(
    folder: Path, more: Mapping[str, object], detail: str, fix: str
) -> None:
    assert doors(**more) == (False, detail, fix)
    assert [result.name for result in found(**more) if not result.ok] == ["doors"]


def test_no_account_is_missed_where_others_bring_the_calls(folder: Path) -> None:
    def names(**more: object) -> list[str]:
        given = settings(twilio_auth_token=None, **more)
        return [result.name for result in asyncio.run(_carrier(given, None))]

    assert names(asterisk_password=SecretStr(TOKEN)) == names(browser_phone=True) == []
    assert names() == ["twilio account"]


def run_ari(answers: Mapping[str, tuple[int, object]]) -> CheckResult:
    async def main() -> list[CheckResult]:
        async with http(answers) as server:
            given = settings(
                asterisk_password=SecretStr(TOKEN),
                asterisk_ari_url=f"http://127.0.0.1:{server.port}",
                asterisk_ari_password=SecretStr(TOKEN),
            )
            return await check_ari(given)

    return shown(asyncio.run(main()))["asterisk ari"]


@pytest.mark.parametrize(
    ("answer_", "ok", "words"),
    [
        ((200, {"system": {"version": "22.6.0"}}), True, "answers, Asterisk 22.6.0"),
        ((401, {}), False, "asterisk refuses the ARI user or password: see ari.conf"),
        ((404, {}), False, "asterisk answered HTTP 404"),
        ((200, {"else": 1}), False, "what answers is not asterisk's REST interface"),
    ],
)
def test_asterisks_rest_interface_is_asked(folder: Path, answer_: tuple[int, object], ok: bool, words: str) -> None:
    result = run_ari({"/ari/asterisk/info?only=system": answer_})
    assert (result.ok, result.detail) == (ok, words)
    assert ok or ("ASTERISK_ARI_USERNAME" in result.fix) == (answer_[0] == 401)


def test_a_rest_interface_that_nobody_serves_is_a_failure(folder: Path) -> None:
    ari = {"asterisk_ari_url": "http://127.0.0.1:1", "asterisk_ari_password": SecretStr(TOKEN)}
    (result,) = asyncio.run(check_ari(settings(asterisk_password=SecretStr(TOKEN), **ari)))
    assert (result.ok, result.detail) == (False, "no connection to asterisk's REST interface")
    assert "GATEWAY_ASTERISK_ARI_URL" in result.fix
    assert asyncio.run(check_ari(settings(**ari))) == [], "no call comes from Asterisk"


def test_a_folder_of_the_database_that_is_missing_is_a_failure(folder: Path) -> None:
    missing = check(settings(database_url=f"sqlite:///{folder}/data/g.db"))["database"]
    assert (missing.ok, missing.detail) == (False, f"{folder}/data/g.db: the folder {folder}/data is missing")
    assert not (folder / "data").exists()
