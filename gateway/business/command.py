"""`gateway simulate business`: the sample business as a server of its own."""

import base64
import json
import os
import secrets
import socket
import sqlite3
import sys
from collections.abc import Mapping
from pathlib import Path

import uvicorn
from dotenv import dotenv_values

from gateway.business.database import Database
from gateway.business.example import agents_section
from gateway.business.late import Late
from gateway.business.signature import Keys
from gateway.business.web import Shop, create_shop
from gateway.errors import ConfigError

__all__ = ["serve_shop"]

SECRET = "GATEWAY_WEBHOOK_SECRET"
DOTENV = ".env"
HOST = "127.0.0.1"
DEFAULT_PORT = 8080
"""Of the gateway."""
BESIDE = {
    "GATEWAY_WEBHOOK_ALLOW_CIDRS": "127.0.0.0/8",
    "TWILIO_AUTH_TOKEN": "local",
    "GATEWAY_MODEL_URL": "ws://127.0.0.1:8765/v1/realtime",
}
"""What a gateway on this machine needs besides to serve: functions on loopback, the two ends simulated."""
STOP_S = 2


def serve_shop(port: int, database: Path, gateway: str | None, *, as_json: bool = False) -> None:
    """Serve on loopback until SIGINT or SIGTERM. Raises `ConfigError`."""
    settings = _settings()
    to = (gateway or f"http://{HOST}:{settings.get('GATEWAY_PORT') or DEFAULT_PORT}").rstrip("/")
    secret = settings.get(SECRET, "").strip()
    made = "" if secret else "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    try:
        keys = Keys(secret or made)
    except ValueError:
        raise ConfigError(
            f"{SECRET} is no signing secret; make one with: echo whsec_$(openssl rand -base64 32)"
        ) from None
    try:
        store = Database(database)
    except sqlite3.Error as error:
        raise ConfigError(f"the database {database} cannot be used: {error}") from None
    app = create_shop(Shop(store, keys, Late(store, keys, to)))
    with _listening(port) as taken:
        _announce(f"http://{HOST}:{taken.getsockname()[1]}", made, settings, as_json=as_json)
        config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=STOP_S)
        uvicorn.Server(config).run(sockets=[taken])


def _listening(port: int) -> socket.socket:
    taken = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((HOST, port))
        taken.listen()
    except OSError as error:
        taken.close()
        raise ConfigError(f"cannot listen on {HOST}:{port}: {error.strerror}") from None
    return taken


def _settings() -> dict[str, str]:
    """Return the environment over `.env`, as the gateway beside us reads them. Raises `ConfigError`."""
    try:
        return {name: value for name, value in {**dotenv_values(DOTENV), **os.environ}.items() if value}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{DOTENV}: cannot be read: {type(error).__name__}") from None


def _announce(origin: str, made: str, known: Mapping[str, str], *, as_json: bool) -> None:
    """Say where the business is, at once: whoever started us waits for it."""
    agents = agents_section(origin)
    if as_json:
        told = {"webhook_secret": made} if made else {}
        sys.stdout.write(json.dumps({"url": origin, "agents": agents, **told}) + "\n")
    else:
        missing = [f"{name}={value}" for name, value in {SECRET: made, **BESIDE}.items() if name not in known]
        sys.stdout.write(
            f"{agents}\n"
            f"# Above: the agents file of the gateway, agents.yaml. For its .env, where it is not set already:\n"
            + "".join(f"#   {one}\n" for one in missing or ["(all is set)"])
            + f"# What the business has seen: {origin}/log\n# Ctrl-C stops it.\n"
        )
    sys.stdout.flush()
