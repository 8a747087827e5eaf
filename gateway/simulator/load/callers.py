"""The callers of a load run: the simulated telephone network, its sockets watched."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import httpx2

from gateway.simulator.asgi import connect_websocket
from gateway.simulator.carrier import CallPlan, HangUp, Say, Script, TwilioNetwork, Wait
from gateway.simulator.carrier.media import SILENT_FRAME
from gateway.simulator.carrier.script import Step
from gateway.simulator.load.frames import caller_audio
from gateway.simulator.load.plan import ACCOUNT, CALLED, PUBLIC_URL, LoadPlan
from gateway.simulator.load.reports import CallerLog
from gateway.wire import TextSocket, WireClosed

__all__ = ["Callers", "payload_bytes"]

MEDIA = '{"event":"media"'
PAYLOAD = '"payload":"'
SILENT_GROUPS = 18
"""Encoded silence starts with this many groups of three bytes; a numbered frame never does."""
SILENT_PAYLOAD = PAYLOAD + "/" * 4 * SILENT_GROUPS
GREETING_S = 30.0
"""A loaded machine may be slow to greet; the figures say so."""
assert SILENT_FRAME.startswith(b"\xff" * 3 * SILENT_GROUPS)


@dataclass(slots=True, frozen=True)
class Callers:
    """All callers of a run; they share one HTTP client."""

    plan: LoadPlan
    origin: str
    """Where the gateway really listens."""
    auth_token: str
    http: httpx2.AsyncClient
    logs: list[CallerLog]

    async def run(self) -> None:
        """Have everybody call, spread over the ramp, and return when all calls are over."""
        async with asyncio.TaskGroup() as group:
            for log in self.logs:
                group.create_task(self._one(log), name=f"caller {log.number}")

    async def _one(self, log: CallerLog) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self.plan.ramp_s * log.number / self.plan.calls)
        log.began_s = loop.time()

        async def connect(url: str, headers: Mapping[str, str]) -> TextSocket:
            return _Watched(await connect_websocket(url, headers), log)

        network = TwilioNetwork(
            ACCOUNT, self.auth_token, self.http, connect, route={PUBLIC_URL: self.origin}, seed=log.number
        )
        log.report = await network.call(
            CallPlan(
                to=CALLED,
                from_=f"+1415555{log.number:04d}",
                voice_url=f"{PUBLIC_URL}/twilio/voice",
                status_callback=f"{PUBLIC_URL}/twilio/status",
                script=self._script(log.number),
            )
        )
        log.ended_s = loop.time()

    def _script(self, number: int) -> Script:
        plan = self.plan
        audio = caller_audio(number, plan.turns, plan.turn_s, plan.speech_s)
        steps: list[Step] = [
            Wait("agent_speaking", within_s=GREETING_S),
            Wait("agent_done", within_s=GREETING_S, quiet_ms=200),
            Say(audio),
        ]
        # A caller whose model was killed stays: the gateway has to end the call.
        return Script(steps, stay_s=30.0) if plan.fault == "kill-model" else Script([*steps, HangUp()])


class _Watched:
    """A media socket that notes when numbered frames leave and agent audio arrives."""

    def __init__(self, socket: TextSocket, log: CallerLog) -> None:
        self._socket = socket
        self._log = log
        self._loop = asyncio.get_running_loop()

    async def receive(self) -> str | bytes:
        try:
            frame = await self._socket.receive()
        except WireClosed:
            self._log.stream_closed_s = self._loop.time()
            raise
        if isinstance(frame, str) and frame.startswith(MEDIA):
            log = self._log
            log.pieces.append((self._loop.time(), log.received_bytes))
            log.received_bytes += payload_bytes(frame)
        return frame

    async def send(self, frame: str | bytes) -> None:
        if isinstance(frame, str) and frame.startswith(MEDIA) and SILENT_PAYLOAD not in frame:
            self._log.sent_at.append(self._loop.time())
        await self._socket.send(frame)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        await self._socket.close(code, reason)


def payload_bytes(frame: str) -> int:
    """Return the length of the audio in a media message, from its text alone."""
    begin = frame.find(PAYLOAD)
    if begin < 0:
        return 0
    begin += len(PAYLOAD)
    end = frame.find('"', begin)
    return (end - begin) * 3 // 4 - frame.count("=", max(begin, end - 2), end)
