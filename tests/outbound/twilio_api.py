"""A stand-in for Twilio's REST API on loopback that can also misbehave below HTTP."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs

ACCOUNT = "AC" + "0a" * 16
CALL = "CA" + "1b" * 16

Answer = tuple[int, object] | bytes | None
"""Status and JSON body; or raw bytes, after which the connection closes; or None: no answer until the client goes."""


@dataclass
class Seen:
    """One request as it came."""

    method: str
    path: str
    form: dict[str, list[str]]
    user: str
    password: str


@dataclass
class TwilioApi:
    """Answers with `answer(request)` and keeps what it saw."""

    answer: Callable[[Seen], Answer] = lambda seen: (201, {"sid": CALL, "status": "queued"})
    seen: list[Seen] = field(default_factory=list)
    url: str = ""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["TwilioApi"]:
        async with await asyncio.start_server(self._serve, "127.0.0.1", 0) as server:
            self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            seen = await _read(reader)
            self.seen.append(seen)
            answer = self.answer(seen)
            if answer is None:
                await reader.read()
            else:
                writer.write(answer if isinstance(answer, bytes) else _http(*answer))
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Seen:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.strip().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    user, _, password = base64.b64decode(headers["authorization"].removeprefix("Basic ")).decode().partition(":")
    method, path, _ = first.split(" ")
    return Seen(method, path, parse_qs(body.decode()), user, password)


def _http(status: int, body: object) -> bytes:
    text = json.dumps(body).encode()
    head = f"HTTP/1.1 {status} Status\r\ncontent-type: application/json\r\ncontent-length: {len(text)}\r\n\r\n"
    return head.encode() + text


def refusal(status: int, code: int, message: str = "refused") -> Callable[[Seen], Answer]:
    """Return an answer as Twilio words its errors."""
    return lambda seen: (status, {"code": code, "message": message, "status": status, "more_info": "https://…"})
