"""Tests a whole set-up before callers do: file, secrets, addresses, model, carrier, tools, store.

Each check is bounded in time, says what it found, and for each failure what to do about it. Nothing it prints holds a
secret or a whole telephone number. A session with the model is opened but no audio is sent, so it costs nothing.
"""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import httpcore2
import httpx2

from gateway.advice import advice
from gateway.agents import Agent, AgentsFile, load_agents
from gateway.agents.references import Reference, addresses, references
from gateway.checkdoors import check_ari, check_doors
from gateway.checkimports import ImportedTools, check_imports
from gateway.config import Settings, database_sentence
from gateway.errors import ConfigError, ModelError, ToolError
from gateway.findings import CHECK_S, CheckResult, Finding, quote, run_check
from gateway.log import mask_number, redact
from gateway.plans import plan_of, session_of
from gateway.preflight import secret_found, unsigned
from gateway.realtime.codec import session_update
from gateway.realtime.connection import dial
from gateway.records.recording import unwritable
from gateway.tools.catalogue import Catalogue
from gateway.tools.netguard import NetGuard, tls_context
from gateway.wire import TextSocket, WireClosed

__all__ = ["CheckResult", "run_checks"]

G711 = "audio/pcmu"
KEY_CODES = frozenset({"401", "403", "3000", "invalid_api_key"})
MODEL_CODES = frozenset({"4000", "4004", "invalid_model", "model_not_found", "missing_model"})
QUOTA_CODES = frozenset({"429", "insufficient_quota", "credit_balance_exhausted", "billing_hard_limit_reached"})


async def run_checks(settings: Settings | ConfigError, agents_path: Path, *, network: bool) -> list[CheckResult]:
    """Run every check, in the order in which a set-up is built. Without `network`, only what this machine can tell.

    Pass the `ConfigError` of `load_settings` when there are no settings: its problems are listed, the agents file is
    still read.
    """
    results, imported = _settings(settings), ImportedTools()
    agents, found = _agents(agents_path)
    results += found
    if isinstance(settings, ConfigError):
        return results
    if agents is not None:
        results += [
            await run_check(f"secret of {reference.place}", _secret(settings, reference))
            for agent in agents.agents.values()
            for reference in references(agent)
        ]
        results += advice(settings, agents)
        checked, imported = await check_imports(agents, _guard(settings), network=network)
        results += checked
    results += check_doors(settings, agents)
    if settings.api_keys:
        results.append(await run_check("api keys", _api_keys(settings)))
    results.append(await run_check("recordings", _recordings(settings.recordings_dir)))
    results.append(await run_check("database", _database(settings.database_url)))
    results.append(await run_check("public url", _public_url(settings, network=network)))
    if network:
        results += await check_ari(settings)
        results += await _carrier(settings, agents)
        results += await _models(settings, agents, imported)
        results += await _addresses(settings, agents, imported)
    return results


def _settings(settings: Settings | ConfigError) -> list[CheckResult]:
    fix = "set or correct this environment variable (or the line in .env)"
    problems = str(settings).splitlines() if isinstance(settings, ConfigError) else settings.serving_problems()
    if problems:
        return [CheckResult("settings", False, problem, fix) for problem in problems]
    return [CheckResult("settings", True, "complete")]


def _agents(path: Path) -> tuple[AgentsFile | None, list[CheckResult]]:
    try:
        agents = load_agents(path)
    except ConfigError as error:
        fix = f"correct {path}; `gateway agents schema` writes a schema that editors can check with"
        return None, [CheckResult("agents file", False, line, fix) for line in str(error).splitlines()]
    listed = list(agents.agents.values())
    numbers = sum(len(agent.numbers) for agent in listed)
    if not numbers and not any(agent.default for agent in listed):
        fix = "give an agent its numbers, or default: true"
        return agents, [CheckResult("agents file", True, "no agent answers incoming calls", fix, True)]
    return agents, [CheckResult("agents file", True, f"agents: {len(listed)}, numbers: {numbers}")]


async def _secret(settings: Settings, reference: Reference) -> str:
    if unsigned(reference, settings.webhook_secret):
        fix = "to sign too, name a `secret` or set GATEWAY_WEBHOOK_SECRET; `sign: false` says that you do not want to"
        raise Finding("none; requests are not signed, `auth` alone shows who calls", fix, warning=True)
    try:
        keys = secret_found(reference, settings.webhook_secret)
    except ConfigError as error:
        fix = "set the variable or file that is named"
        own = f"{fix}, or GATEWAY_WEBHOOK_SECRET where none is"
        raise Finding(str(error), own if reference.signs else fix) from None
    return "found" if keys == 1 else f"found, {keys} keys sign (rotation)"


async def _api_keys(settings: Settings) -> str:
    keys = settings.key_ring().keys
    names = ", ".join(key.name for key in keys)
    clear = [key.name for key in keys if not key.hashed]
    if clear:
        fix = "keep the hash instead: `gateway key NAME --stdin` makes it of a key that you have"
        raise Finding(f"{names}; in clear: {', '.join(clear)}", fix, warning=True)
    return f"{names}; hashes only"


async def _recordings(folder: Path) -> str:
    return _writable(folder)


def _writable(folder: Path) -> str:
    problem = unwritable(folder)
    if problem:
        fix = "create the folder and let the gateway's user write to it, or set GATEWAY_RECORDINGS_DIR"
        raise Finding(problem, fix)
    return f"{folder} can be written" if folder.exists() else f"{folder} will be created"


async def _database(url: str) -> str:
    from sqlalchemy.exc import SQLAlchemyError

    from gateway.store.migrate import create_engine

    missing = _missing_file(url)
    if missing is not None:  # opening it would make it
        if not missing.parent.exists():  # perhaps a volume that is not mounted: nothing is made in its place
            fix = "create it, or mount it, or correct GATEWAY_DATABASE_URL"
            raise Finding(f"{missing}: the folder {missing.parent} is missing", fix)
        problem = unwritable(missing.parent)
        if problem:
            raise Finding(f"{missing}: {problem}", "let the gateway's user write there, or set GATEWAY_DATABASE_URL")
        return f"{missing} will be created"
    fix = "check GATEWAY_DATABASE_URL, that the server runs, and that the user may connect"
    try:
        engine = create_engine(url)
    except (ConfigError, ImportError) as error:  # ImportError: the driver is not installed
        raise Finding(redact(database_sentence(str(error), url)), fix) from None
    try:
        async with engine.connect() as connection:
            await connection.exec_driver_sql("SELECT 1")
    except (SQLAlchemyError, OSError) as error:
        raise Finding(f"it does not open: {quote(str(error.__cause__ or error))}", fix) from None
    finally:
        await engine.dispose()
    return f"{engine.dialect.name} opens"


def _missing_file(url: str) -> Path | None:
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        name = make_url(url).database if url.startswith("sqlite") else None
        path = Path(name) if name and name != ":memory:" else None
        return path if path is not None and not path.exists() else None
    except (ArgumentError, ValueError, OSError):
        return None  # said by who opens it


async def _public_url(settings: Settings, *, network: bool) -> str:
    fix = "for real calls set GATEWAY_PUBLIC_URL to the https address the carrier reaches"
    if "public_url" not in settings.model_fields_set:
        raise Finding("GATEWAY_PUBLIC_URL is not set: no carrier can reach this gateway", fix)
    if not network:
        if settings.development:
            raise Finding("is on this machine only", fix, warning=True)
        return "set"
    try:
        await _reach(settings)
    except Finding as finding:
        if settings.development:  # nobody but this machine is meant to reach it
            raise Finding(finding.detail, finding.fix, warning=True) from None
        raise
    if settings.development:
        raise Finding("the gateway answers, on this machine only", fix, warning=True)
    return "the gateway answers"


async def _reach(settings: Settings) -> None:
    parts = urlsplit(settings.public_url)
    try:
        await asyncio.get_running_loop().getaddrinfo(parts.hostname, parts.port or 443)
    except OSError:
        raise Finding(
            f"{parts.hostname} does not resolve", "create the DNS record, or correct GATEWAY_PUBLIC_URL"
        ) from None
    forward = f"start `gateway serve` and forward {settings.public_url} to port {settings.port} (proxy or tunnel)"
    try:
        async with _client(settings.public_url) as client:
            response = await client.get("/livez")
    except httpx2.HTTPError as error:
        if "certificate" in str(error).lower() or "ssl" in str(error).lower():
            fix = "install a certificate of a public authority; carriers refuse self-signed ones"
            raise Finding(f"TLS fails: {quote(str(error))}", fix) from None
        raise Finding(f"/livez is not reached ({type(error).__name__})", forward) from None
    if response.status_code != 200:
        raise Finding(f"/livez answered HTTP {response.status_code}: something else is behind it", forward)


async def _carrier(settings: Settings, agents: AgentsFile | None) -> list[CheckResult]:
    if settings.twilio_auth_token is None and (settings.doors or settings.browser_phone):
        return []  # others bring the calls
    account = await run_check("twilio account", _account(settings))
    results = [account]
    if settings.twilio_account_sid is None or not account.ok:
        return results
    numbers = [number for agent in agents.agents.values() for number in agent.numbers] if agents else []
    results += [await run_check(f"number {mask_number(number)}", _number(settings, number)) for number in numbers]
    return results


async def _account(settings: Settings) -> str:
    if settings.twilio_account_sid is None:
        fix = "set TWILIO_ACCOUNT_SID; without it calls are answered, but none can be placed, transferred or looked up"
        raise Finding("not checked: the account is not known", fix, warning=True)
    if settings.twilio_auth_token is None:
        raise Finding("not checked: there is no auth token", "set TWILIO_AUTH_TOKEN", warning=True)
    sid, token = settings.twilio_account_sid, settings.twilio_auth_token.get_secret_value()
    document = await _twilio(settings, f"/2010-04-01/Accounts/{sid}.json", (sid, token), "TWILIO_AUTH_TOKEN")
    if document.get("status") != "active":
        raise Finding(f"the account is {quote(document.get('status'))}", "settle it in the Twilio console")
    if settings.twilio_api_key_sid is not None and settings.twilio_api_key_secret is not None:
        # Standard keys may not read the account itself.
        path = f"/2010-04-01/Accounts/{sid}/IncomingPhoneNumbers.json?PageSize=1"
        key = (settings.twilio_api_key_sid, settings.twilio_api_key_secret.get_secret_value())
        await _twilio(settings, path, key, "GATEWAY_TWILIO_API_KEY_SID and its secret")
    return f"active, {'trial' if document.get('type') == 'Trial' else 'full'} account"


async def _number(settings: Settings, number: str) -> str:
    sid, token = settings.twilio_account_sid, settings.twilio_auth_token
    assert sid is not None and token is not None
    path = f"/2010-04-01/Accounts/{sid}/IncomingPhoneNumbers.json?PhoneNumber=%2B{number[1:]}"
    document = await _twilio(settings, path, (sid, token.get_secret_value()), "TWILIO_AUTH_TOKEN")
    listed = document.get("incoming_phone_numbers")
    entry = listed[0] if isinstance(listed, list) and listed and isinstance(listed[0], dict) else None
    if entry is None:
        raise Finding(
            "is not a number of this Twilio account", "buy it, or take it out of the agents file", warning=True
        )
    wanted = f"{settings.public_url}/twilio/voice"
    if entry.get("trunk_sid"):
        raise Finding("goes to a SIP trunk, not to a webhook", "detach it from the trunk", warning=True)
    if entry.get("voice_url") != wanted or entry.get("voice_method", "POST") != "POST":
        raise Finding(
            "does not ring here", f'set "A call comes in" of this number to {wanted}, HTTP POST', warning=True
        )
    return "rings here"


async def _twilio(settings: Settings, path: str, auth: tuple[str, str], names: str) -> Mapping[str, object]:
    try:
        async with _client(settings.twilio_api_url) as client:
            response = await client.get(path, auth=auth)
    except httpx2.HTTPError as error:
        fix = "check the network, and GATEWAY_TWILIO_API_URL if you set it"
        raise Finding(f"Twilio is not reached ({type(error).__name__})", fix) from None
    if response.status_code in (401, 403, 404):
        raise Finding(
            f"Twilio refuses the credentials (HTTP {response.status_code})", f"check TWILIO_ACCOUNT_SID, {names}"
        )
    try:
        document = response.json()
    except ValueError:
        document = None
    if response.status_code != 200 or not isinstance(document, dict):
        raise Finding(f"Twilio answered HTTP {response.status_code}", "try again; see status.twilio.com")
    return document


async def _models(settings: Settings, agents: AgentsFile | None, imported: ImportedTools) -> list[CheckResult]:
    results = []
    for model in sorted({agent.model for agent in agents.agents.values()} if agents else ()):
        reachable = await run_check(f"model {model}", _model(settings, model))
        results.append(reachable)
        users = [agent for agent in agents.agents.values() if agent.model == model] if agents and reachable.ok else []
        results += [
            await run_check(f"session of {agent.name}", _session(settings, agent, imported.catalogues[agent.name]))
            for agent in users
            if agent.name in imported.catalogues
        ]
    return results


async def _model(settings: Settings, model: str) -> str:
    socket = await _open(settings, model)
    try:
        await _event(socket, "session.created")
    finally:
        await socket.close()
    return "reachable, key accepted"


async def _session(settings: Settings, agent: Agent, catalogue: Catalogue) -> str:
    socket = await _open(settings, agent.model)
    try:
        await _event(socket, "session.created")
        await socket.send(session_update(session_of(agent, plan_of(agent, catalogue), catalogue)))
        updated = await _event(socket, "session.updated", f"change what agent {agent.name} asks for in the agents file")
    finally:
        await socket.close()
    formats = [_dig(updated, "session", "audio", way, "format", "type") for way in ("input", "output")]
    if formats != [G711, G711]:
        fix = "use a server that speaks G.711 mu-law (audio/pcmu); callers would hear noise"
        raise Finding(f"the server keeps the formats {quote(formats)}", fix)
    return "accepted, mu-law both ways"


async def _open(settings: Settings, model: str) -> TextSocket:
    try:
        return await dial(settings.model_endpoint(model), settings.model_headers())
    except ModelError as error:
        raise _refused(error.code, str(error)) from None


async def _event(socket: TextSocket, wanted: str, fix: str = "") -> Mapping[str, object]:
    """Return the next event of this type; an `error` event or a close on the way is a finding."""
    while True:
        try:
            document = json.loads(await socket.receive())
        except WireClosed as closed:
            raise _refused(str(closed.code), closed.reason) from None
        except (ValueError, RecursionError):
            raise Finding("what answers is no Realtime server", "check GATEWAY_MODEL_URL") from None
        if not isinstance(document, dict):
            continue
        if document.get("type") == "error":
            message, code = _dig(document, "error", "message"), _dig(document, "error", "code")
            refused = _refused(str(code or _dig(document, "error", "type")), str(message))
            raise Finding(refused.detail, fix or refused.fix)
        if document.get("type") == wanted:
            return document


def _refused(code: str, reason: str) -> Finding:
    """Say what a refusal of the model means. Codes are HTTP statuses, close codes and the API's own."""
    if code in KEY_CODES or "invalid_api_key" in reason:
        return Finding(
            f"the key is refused ({code})",
            "check that OPENAI_API_KEY is complete, active and belongs to the server at GATEWAY_MODEL_URL",
        )
    if code in QUOTA_CODES:
        return Finding(
            f"the quota or rate limit is exhausted ({code})", "add credit or raise the limits of the key's project"
        )
    if code in MODEL_CODES:
        fix = "correct the agent's model (Azure: the deployment name), or ask for access to it"
        return Finding(f"the model is not known ({code}): {quote(reason)}", fix)
    if code == "404":
        return Finding(
            "no Realtime endpoint there, or no such model (404)", "check GATEWAY_MODEL_URL and the agent's model"
        )
    if code in ("unreachable", "bad_url"):
        return Finding(f"not reached: {quote(reason)}", "check GATEWAY_MODEL_URL, name server and firewall")
    return Finding(
        f"refused ({quote(code)}): {quote(reason)}", "try again; if it stays so, see the provider's status page"
    )


async def _addresses(settings: Settings, agents: AgentsFile | None, imported: ImportedTools) -> list[CheckResult]:
    guard = _guard(settings)
    named = [named for agent in agents.agents.values() for named in addresses(agent)] if agents else []
    named += imported.servers
    return [await run_check(f"address of {place}", _address(guard, url)) for place, url in named]


def _guard(settings: Settings) -> NetGuard:
    return NetGuard(settings.webhook_allow_cidrs, allow_loopback=settings.development)


async def _address(guard: NetGuard, url: str) -> str:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = await guard.resolve(parts.hostname or "", port, plain_text=parts.scheme == "http")
    except ToolError as error:
        raise Finding(
            str(error), "use a public https address, or allow its network: GATEWAY_WEBHOOK_ALLOW_CIDRS"
        ) from None
    except httpcore2.ConnectError:
        raise Finding(f"{parts.hostname} does not resolve", "correct the url, or create the DNS record") from None
    return f"{parts.hostname} resolves and may be reached ({len(found)} addresses)"


def _client(base_url: str) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=base_url, verify=tls_context(), trust_env=False, timeout=CHECK_S)


def _dig(document: object, *keys: str) -> object:
    for key in keys:
        document = document.get(key) if isinstance(document, dict) else None
    return document
