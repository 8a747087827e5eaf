"""`gateway operate`: ask a running gateway for something on a live call; `gateway key`: make a key for its API.

A command carries an id, so a lost answer is asked for once more without anything being done twice.
"""

import difflib
import json
import secrets
import sys
from collections.abc import Mapping, Sequence

import httpx2
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.apikeys import named_hash, new_key
from gateway.config import load_settings
from gateway.errors import ConfigError, GatewayError
from gateway.operator.faults import faults_of
from gateway.operator.requests import ACTIONS, VARIANTS, AnyCommand

__all__ = ["list_live", "make_key", "operate"]

REQUEST_S = 10.0
KEY_CHARS_MAX = 1024
MESSAGE_CHARS_MAX = 500
REFUSALS = frozenset({404, 409, 410, 421})
PIPE_WIDTH = 160
"""Columns used where the output is no terminal, so that a file or a pipe gets whole lines."""


def operate(
    call_id: str,
    action: str,
    fields: Sequence[str] = (),
    *,
    command_id: str | None = None,
    url: str | None = None,
    as_json: bool = False,
) -> int:
    """Ask for one action, with fields as NAME=VALUE; 0 when it was done (also before), 1 when it was refused.

    Raises `ConfigError` when the command is not one, or there is no key or no gateway; `GatewayError` when no answer
    came, so that nobody knows.
    """
    wanted = _command(action, fields, command_id or f"cli-{secrets.token_hex(8)}")
    path = f"/v1/calls/{_path_part(call_id)}/commands"
    with _client(url) as http:
        response = _twice(http, path, wanted)
    answer = _answer(response)
    if as_json:
        sys.stdout.write(json.dumps(answer, indent=2) + "\n")
    elif response.status_code == 200:
        _console().print(Text(f"{action}: {_line(answer.get('outcome'))}"), soft_wrap=True)
    else:
        sys.stderr.write(f"gateway: refused: {_message(answer)}\n")
    return 0 if response.status_code == 200 else 1


def list_live(url: str | None = None, *, as_json: bool = False) -> int:
    """Print the live calls of the node that answers. Raises as `operate` does."""
    with _client(url) as http:
        try:
            response = http.get("/v1/calls/live")
        except httpx2.ConnectError:
            raise _nobody(http) from None
        except httpx2.HTTPError as error:
            raise GatewayError(f"the gateway did not answer ({type(error).__name__})") from None
    answer = _answer(response)
    calls = answer.get("calls")
    if response.status_code != 200 or not isinstance(calls, list):
        raise ConfigError(f"what answers is no gateway (HTTP {response.status_code})")
    if as_json:
        sys.stdout.write(json.dumps(answer, indent=2) + "\n")
    elif not calls:
        _console().print("no live calls")
    else:
        _console().print(_table(calls))
    return 0


def make_key(name: str, *, stdin: bool = False) -> int:
    """Print a new key and the entry for `GATEWAY_API_KEYS`; with `stdin` only the entry, of a key that is read."""
    key = sys.stdin.readline(KEY_CHARS_MAX).strip() if stdin else new_key()
    try:
        entry = named_hash(name, key)
    except ValueError as problem:
        raise ConfigError(str(problem)) from None
    if stdin:
        sys.stdout.write(f"{entry}\n")
        return 0
    sys.stdout.write(f"key, shown this once, for {name}:\n{key}\n\nits hash, to add to GATEWAY_API_KEYS:\n{entry}\n")
    return 0


def _command(action: str, fields: Sequence[str], command_id: str) -> AnyCommand:
    form = ACTIONS.get(action)
    if form is None:
        near = difflib.get_close_matches(action, ACTIONS, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(ACTIONS)}"
        raise ConfigError(f"{_line(action)[:64]!r} is no action; {hint}")
    known = [name for name in form.model_fields if name not in ("id", "action")]
    body: dict[str, object] = {"id": command_id, "action": action}
    for field in fields:
        name, equals, value = field.partition("=")
        if not equals or name not in known:
            takes = " ".join(f"{name}=…" for name in known) or "no fields"
            raise ConfigError(f"{_line(name)[:64]!r} is not expected; {action} takes {takes}")
        body[name] = _value(name, value, form.model_fields[name].annotation)
    try:
        return form.model_validate(body)
    except ValidationError as error:
        faults = faults_of(error, VARIANTS) or {}
        raise ConfigError("; ".join(f"{field} {words}" for field, words in faults.items())) from None


def _value(name: str, text: str, kind: object) -> object:
    """Return what a word of the command line means: JSON where a field is no text, or takes an object too."""
    if kind not in (bool, int, float) and not (name == "turn_detection" and text.startswith("{")):
        return text
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value


def _client(url: str | None) -> httpx2.Client:
    settings = load_settings()
    origin = (url or f"http://127.0.0.1:{settings.port}").rstrip("/")
    if not origin.startswith(("http://", "https://")):
        raise ConfigError("--url must be an address such as http://127.0.0.1:8080")
    headers = {"Authorization": f"Bearer {settings.own_key()}"}
    try:
        return httpx2.Client(base_url=origin, headers=headers, timeout=REQUEST_S, trust_env=False)
    except (httpx2.InvalidURL, UnicodeEncodeError):
        raise ConfigError("--url or the key is not usable in a request") from None


def _twice(http: httpx2.Client, path: str, wanted: AnyCommand) -> httpx2.Response:
    body = wanted.model_dump_json(exclude_unset=True)
    headers = {"Content-Type": "application/json"}
    try:
        try:
            return http.post(path, content=body, headers=headers)
        except (httpx2.ReadError, httpx2.ReadTimeout, httpx2.RemoteProtocolError):
            return http.post(path, content=body, headers=headers)
    except httpx2.ConnectError:
        raise _nobody(http) from None
    except httpx2.HTTPError as error:
        why = f"the gateway did not answer ({type(error).__name__}); it may have been done"
        raise GatewayError(f"{why}: ask again with --id {wanted.id}") from None


def _nobody(http: httpx2.Client) -> ConfigError:
    return ConfigError(f"no gateway answers at {http.base_url}; start `gateway serve`, or give --url")


def _answer(response: httpx2.Response) -> Mapping[str, object]:
    """Return the document of an answer or a refusal; raise `ConfigError` for all else."""
    try:
        document = response.json()
    except ValueError:
        document = None
    ours = isinstance(document, dict) and (response.status_code == 200 or isinstance(document.get("error"), dict))
    if not ours or not isinstance(document, dict):
        raise ConfigError(f"what answers is no gateway (HTTP {response.status_code})")
    if response.status_code == 401:
        raise ConfigError("the gateway does not know the first key of GATEWAY_API_KEYS (or GATEWAY_CLIENT_KEY)")
    if response.status_code != 200 and response.status_code not in REFUSALS:
        raise ConfigError(_message(document))
    return document


def _message(answer: Mapping[str, object]) -> str:
    error = answer.get("error")
    return _line(error.get("message") if isinstance(error, dict) else "")


def _line(text: object) -> str:
    """Return another's words as one line without control characters."""
    words = " ".join(str(text).split())
    return "".join(letter for letter in words if letter.isprintable())[:MESSAGE_CHARS_MAX]


def _path_part(call_id: str) -> str:
    if not call_id.isascii() or not call_id.replace("_", "").replace("-", "").isalnum():
        raise ConfigError("a call's id looks like call_0123456789abcdef0123; `gateway operate --list` shows them")
    return call_id[:128]


def _table(calls: Sequence[object]) -> Table:
    names = ("call_id", "agent", "direction", "phase", "seconds", "from_number", "to_number")
    table = Table("call", "agent", "direction", "phase", "for", "from", "to")
    for call in calls:
        if isinstance(call, dict):
            texts = [_line(call.get(name)) for name in names]
            texts[4] += " s"
            table.add_row(*map(Text, texts))
    return table


def _console() -> Console:
    return Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)
