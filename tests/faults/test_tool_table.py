"""Whatever a webhook does, the model gets an answer in time that it can talk about, and the caller hears it talk.

Whole calls on the virtual clock. The webhook's side is bytes on a line in memory, so what reads them is the real guard,
the real connection pool and the real HTTP parser. `pytest -n0 -s` prints the table.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import httpcore2

from gateway.simulator.carrier import HangUp, Pause, Say, Script, Wait
from gateway.tools.netguard import GuardedTransport, NetGuard
from gateway.tools.sender import Outgoing
from tests.faults.calls import SPEECH, Outcome, call_with, scenario
from tests.world import AGENTS, World

TIMEOUT_S = 2.5
MOST_SILENCE_S = 2.0
# The first words after the question may be those that fill the wait.
ASK = Script([Wait("agent_done"), Say(SPEECH), Wait("agent_done"), Pause(3.5), HangUp()])
FILLER = "One moment, please."
DONE = "That is all I can say about it."
Sends = AsyncIterator[bytes]


def http(status: int, body: bytes, *headers: str, kind: str = "application/json") -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"content-type: {kind}", f"content-length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


GOOD = http(200, b'{"result": "shipped"}')
CHUNKED = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


async def slow() -> Sends:
    await asyncio.sleep(60)
    yield GOOD


async def ten_megabytes() -> Sends:
    yield CHUNKED
    for _ in range(160):
        yield chunk(b"x" * 65536)


async def never_ends() -> Sends:
    yield CHUNKED
    while True:
        await asyncio.sleep(0.1)
        yield chunk(b" ")


async def breaks_off() -> Sends:
    raise httpcore2.ReadError("connection reset by peer")
    yield b""


async def whole(*parts: bytes) -> Sends:
    for part in parts:
        yield part


@dataclass
class Fault:
    """A webhook that misbehaves."""

    name: str
    read: str
    """What comes of a function that changes nothing: requests that are sent, and the outcome."""
    write: str
    """The same of one that does, and that the business may do twice when it is asked twice."""
    replies: tuple[Callable[[], Sends], ...] = ()
    """What it sends at the first try, the second, … and at all that follow."""
    refused: bool = False
    no_tls: bool = False
    received: list[bytes] = field(default_factory=list)
    """Requests, as they came."""


def sends(*parts: bytes) -> Callable[[], Sends]:
    return lambda: whole(*parts)


FAULTS = [
    Fault("no fault", "1 ok", "1 ok", (sends(GOOD),)),
    Fault("slow", "1 failed", "1 unknown", (slow,)),
    Fault("500", "1 failed", "1 unknown", (sends(http(500, b"oops", kind="text/plain")),)),
    Fault("503, then well", "2 ok", "1 unknown", (sends(http(503, b"")), sends(GOOD))),
    Fault("429, Retry-After: 1", "2 ok", "1 failed", (sends(http(429, b"", "retry-after: 1")), sends(GOOD))),
    Fault("429, Retry-After: 60", "1 failed", "1 failed", (sends(http(429, b"", "retry-after: 60")),)),
    Fault("404 with a reason", "1 failed", "1 failed", (sends(http(404, b'{"error": {"message": "no such order"}}')),)),
    Fault("not JSON", "1 failed", "1 unknown", (sends(http(200, b"{oops")),)),
    Fault("wrong content type", "1 failed", "1 unknown", (sends(http(200, b'{"result": 1}', kind="text/html")),)),
    Fault("10 MB", "1 failed", "1 unknown", (ten_megabytes,)),
    Fault("never ends", "1 failed", "1 unknown", (never_ends,)),
    Fault("closes in mid-body", "3 failed", "1 unknown", (sends(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"),)),
    Fault("breaks off", "3 failed", "1 unknown", (breaks_off,)),
    Fault("another protocol", "3 failed", "1 unknown", (sends(b"SSH-2.0-OpenSSH_9.6\r\n"),)),
    Fault("redirect", "1 failed", "1 unknown", (sends(http(302, b"", "location: http://169.254.169.254/")),)),
    Fault("refused connection", "0 failed", "0 failed", refused=True),
    Fault("TLS error", "0 failed", "0 failed", no_tls=True),
]
LATE = ("slow", "never ends")
"""With these the wait is long enough to be filled."""


class Line(httpcore2.AsyncNetworkStream):
    """One connection to the misbehaving webhook."""

    def __init__(self, fault: Fault) -> None:
        self._fault = fault
        self._sent = bytearray()
        self._reply: Sends | None = None

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109  the interface's
        if self._reply is None:
            self._fault.received.append(bytes(self._sent))
            replies = self._fault.replies
            self._reply = replies[min(len(self._fault.received), len(replies)) - 1]()
        try:
            async with asyncio.timeout(timeout):
                return await anext(self._reply, b"")
        except TimeoutError:
            raise httpcore2.ReadTimeout from None

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        self._sent += buffer

    async def aclose(self) -> None:
        pass

    async def start_tls(self, *_: Any, **__: Any) -> httpcore2.AsyncNetworkStream:
        raise httpcore2.ConnectError("wrong version number")

    def get_extra_info(self, info: str) -> Any:
        return True if info == "is_readable" else None  # closed once it has answered: no connection is used twice


class Network(httpcore2.AsyncNetworkBackend):
    """A network on which there is only the misbehaving webhook."""

    def __init__(self, fault: Fault) -> None:
        self._fault = fault

    async def connect_tcp(self, *_: Any, **__: Any) -> httpcore2.AsyncNetworkStream:
        if self._fault.refused:
            raise httpcore2.ConnectError("connection refused")
        return Line(self._fault)


def misbehaving(fault: Fault) -> Callable[[World], Coroutine[None, None, None]]:
    async def install(w: World) -> None:
        guard = NetGuard([ip_network("10.0.0.0/8")])
        await w.gateway.invoker.outgoing.aclose()
        w.gateway.invoker.outgoing = Outgoing(guard, transport=GuardedTransport(guard, network=Network(fault)))

    return install


def agents(fault: Fault, effect: str) -> str:
    url = f"{'https' if fault.no_tls else 'http'}://10.0.0.1/lookup"
    keys = [url, f"effect: {effect}", f"speak_while_waiting: {FILLER}"]
    text = AGENTS.replace("https://orders.example.com/lookup", "\n        ".join(keys))
    return text.replace("timeout_s: 5", f"timeout_s: {TIMEOUT_S}")


@dataclass
class Row:
    """What one call came to."""

    fault: str
    effect: str
    sent: int
    outcome: str
    after_s: float
    detail: str
    told: str
    """What the model read."""

    def __str__(self) -> str:
        figures = f"{self.fault:21} {self.effect:5} {self.sent:>4} {self.outcome:7} {self.after_s:4.1f}"
        return f"{figures}  {self.detail[:60]:60}  {self.told}"


HEAD = f"{'webhook':21} {'tool':5} {'sent':>4} {'outcome':7} {'s':>4}  {'in the journal':60}  what the model is told"


def one_call(folder: Path, fault: Fault, effect: str) -> Row:
    """Make a call whose agent asks this webhook, and check what every caller is owed."""
    fault.received.clear()
    turn = {"heard": "where is order 427", "say": "Let me see.", "think_ms": 300, "result": DONE}
    calls = [{"name": "lookup_order", "arguments": {"order_id": "427"}}]
    outcome = call_with(
        folder,
        ASK,
        reason="caller_hangup",
        says=scenario(turns=[turn | {"calls": calls}]),
        agents=agents(fault, effect),
        beside=False,
        silence_s=6,  # at the end of the script; those before are looked at below
        meanwhile=misbehaving(fault),
    )
    (asked,), (answered,) = outcome.at("InvokeTool"), outcome.at("ToolResult")
    (output,), (result,) = outcome.sessions[-1].outputs, outcome.kinds("ToolResult")
    assert answered - asked <= TIMEOUT_S + 0.1
    _heard(outcome, answered, filled=fault.name in LATE)
    told = json.loads(output.output)
    error = told["error"] if isinstance(told, dict) else None
    kind = "ok" if error is None else "unknown" if error.get("outcome") == "unknown" else "failed"
    assert result["ok"] is (kind == "ok")
    words = str(told if error is None else error["message"])
    return Row(fault.name, effect, len(fault.received), kind, answered - asked, result["detail"], words)


def _heard(outcome: Outcome, answered_s: float, *, filled: bool) -> None:
    """The model was asked for words after the answer, the caller heard them, and was never left in silence."""
    assert [at for at in outcome.at("CreateResponse") if at >= answered_s]
    spoken = [item.text for item in outcome.sessions[-1].spoken.values()]
    assert spoken[-1] == DONE
    assert (FILLER in spoken) is filled
    heard = outcome.report.media.heard
    assert heard[-1].end_s > answered_s
    assert [start for start, end in outcome.silences(MOST_SILENCE_S) if end <= heard[-1].start_s] == []


def test_whatever_a_webhook_does_the_caller_hears_something_sensible(tmp_path: Path) -> None:
    rows = [(fault, one_call(tmp_path, fault, effect)) for fault in FAULTS for effect in ("read", "write")]
    sys.stdout.write("\n".join(["", HEAD, "-" * len(HEAD), *(str(row) for _, row in rows), ""]))
    for fault, row in rows:
        assert f"{row.sent} {row.outcome}" == (fault.read if row.effect == "read" else fault.write), row
        assert "x" * 100 not in row.told and "169.254" not in row.told
