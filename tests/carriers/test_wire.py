"""What no client library sends, on real sockets to the real server: nobody comes in by it, and nothing fails."""

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.server import server
from gateway.simulator.world import World
from tests.carriers.strangers import CARRIERS, all_doors

pytestmark = pytest.mark.usefixtures("no_errors_logged")

TWILIO = CARRIERS["twilio"]
BODY = TWILIO.body()
SIGNED = TWILIO.headers(BODY)
WITHIN_S = 10.0


def request(target: str, *more: str, host: str = "gw.example.com", body: bytes = BODY) -> bytes:
    """Return a request whose header lines are as given, `more` behind the usual ones."""
    fields = {"host": host, "connection": "close", "content-length": str(len(body)), **SIGNED}
    lines = [f"POST {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), *more]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


async def answered(port: int, raw: bytes) -> int:
    """Return the status of the answer; 0 for a connection that is closed without one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(WITHIN_S):
            writer.write(raw)
            line = await reader.readline()
    except OSError:  # closed while we wrote
        line = b""
    finally:
        writer.close()
    return int(line.split()[1]) if line else 0


def on_the_wire(folder: Path, raw: bytes, judge: Callable[[int, World], None]) -> None:
    async def main() -> None:
        async with all_doors(folder, {"audiosocket_listen": "127.0.0.1:0"}) as it:
            listener = socket.create_server(("127.0.0.1", 0))
            port = listener.getsockname()[1]
            host = server(it.host._app, it.gateway, host="127.0.0.1", port=port)
            host.config.lifespan = "off"  # it runs already
            async with asyncio.TaskGroup() as group:
                group.create_task(host._serve(sockets=[listener]))
                try:
                    judge(await answered(port, raw), it)
                finally:
                    host.should_exit = True

    asyncio.run(main())


def test_a_signed_request_is_taken(tmp_path: Path) -> None:
    def judge(status: int, it: World) -> None:
        assert (status, it.gateway.registry.live) == (200, 1)

    on_the_wire(tmp_path, request(TWILIO.path), judge)


SIGNATURE = SIGNED["x-twilio-signature"].encode()
FORGED = b"AAAAAAAAAAAAAAAAAAAAAAAAAAA="
CHUNKED = b"0\r\n\r\nPOST /twilio/voice HTTP/1.1\r\n\r\n"


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(request("http://evil.example.com" + TWILIO.path, host="evil.example.com"), id="absolute form"),
        pytest.param(request("*"), id="asterisk form"),
        pytest.param(request("//evil.example.com" + TWILIO.path), id="two slashes"),
        pytest.param(request(TWILIO.path + "#x"), id="a fragment"),
        pytest.param(request(TWILIO.path + "%00"), id="a NUL"),
        pytest.param(request(TWILIO.path + "?again=1"), id="a query that was not signed"),
        pytest.param(request("/twilio/%76oice"), id="another spelling"),
        pytest.param(request(TWILIO.path, "transfer-encoding: chunked", body=CHUNKED), id="two lengths"),
        pytest.param(request(TWILIO.path, "content-length: 1"), id="two content lengths"),
        pytest.param(request(TWILIO.path, f"x: {'a' * 200_000}"), id="a long header"),
        pytest.param(request(TWILIO.path, *(f"x{number}: a" for number in range(20_000))), id="many headers"),
        pytest.param(request("/" + "a" * 200_000), id="a long path"),
        pytest.param(request(TWILIO.path, "x: a\x00b"), id="a NUL in a header"),
        pytest.param(request(TWILIO.path).replace(SIGNATURE, FORGED), id="forged"),
        pytest.param(
            request(TWILIO.path, "x-http-method-override: GET").replace(SIGNATURE, FORGED), id="another method"
        ),
        pytest.param(
            request(TWILIO.path).replace(SIGNATURE, FORGED + b"\r\nx-twilio-signature: " + SIGNATURE), id="two"
        ),
    ],
)
def test_what_is_not_the_signed_request_is_not_taken(raw: bytes, tmp_path: Path) -> None:
    def judge(status: int, it: World) -> None:
        assert status == 0 or 400 <= status < 500
        assert it.gateway.registry.live == 0

    on_the_wire(tmp_path, raw, judge)
