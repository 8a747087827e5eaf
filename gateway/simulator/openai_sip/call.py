"""One call at the service: who may do what with it when, and the model session that it is.

States: RINGING → ANSWERED → REFERRED → ENDED, or RINGING → REJECTED, or RINGING → ENDED. The session is an ordinary one
of the simulated model; the sideband sees its events but for the audio, and finds it as it is when it comes back.
"""

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import Mapping
from enum import Enum
from typing import Any

from gateway.simulator.model import ModelServer
from gateway.simulator.model.shapes import Json
from gateway.simulator.openai_sip.media import SipMedia
from gateway.simulator.openai_sip.plan import SipPlan
from gateway.simulator.openai_sip.report import SipReport
from gateway.wire import TextSocket, WireClosed, pipe

__all__ = ["Refusal", "SipSession", "State"]

FORMAT = {"type": "audio/pcmu"}
OPEN_S = 5.0
NORMAL = 1000


class State(Enum):
    RINGING = "ringing"
    ANSWERED = "answered"
    REFERRED = "referred"
    REJECTED = "rejected"
    ENDED = "ended"


class Refusal(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class SipSession:
    """A call and its session. `group` runs what the call needs until it is over."""

    def __init__(
        self, call_id: str, plan: SipPlan, report: SipReport, model: ModelServer, group: asyncio.TaskGroup
    ) -> None:
        self.call_id = call_id
        self.state = State.RINGING
        self.decided = asyncio.Event()
        self.over = asyncio.Event()
        self.media = SipMedia(self._tell, self._ask)
        self.media.pressed = self._pressed
        self.answered_at = 0.0
        self._plan = plan
        self._report = report
        self._model = model
        self._group = group
        self._line, self._far = pipe()
        self._session: Json = {}
        self._sideband: TextSocket | None = None
        self._outbox: asyncio.Queue[str] = asyncio.Queue()
        self._numbered = 0

    # --- the calls endpoints ------------------------------------------------------------------

    async def accept(self, session: Mapping[str, Any]) -> None:
        """Raises `Refusal`."""
        self._must_be_undecided()
        for side in ("input", "output"):
            if "format" in (session.get("audio") or {}).get(side, {}):
                raise Refusal(400, "unknown_parameter", f"Unknown parameter: 'audio.{side}.format'.")
        if session.get("type") != "realtime" or not isinstance(session.get("model"), str):
            raise Refusal(400, "missing_required_parameter", "Missing required parameter: 'type' or 'model'.")
        await asyncio.sleep(self._plan.faults.accept_s)
        self._must_be_undecided()
        self.state = State.ANSWERED
        self._report.accepted_with = dict(session)
        self._group.create_task(self._model.serve_socket(self._far, {"model": str(session["model"])}, {}))
        async with asyncio.timeout(OPEN_S):
            await self._configure(session)
        self._group.create_task(self._pump())
        self.answered_at = asyncio.get_running_loop().time()
        self.decided.set()

    def reject(self, status: int) -> None:
        self._must_be_undecided()
        self.state = State.REJECTED
        self._report.rejected_with = status
        self.decided.set()

    def refer(self, target: str) -> None:
        self._must_be_up()
        if not target.startswith(("tel:", "sip:", "sips:")):
            raise Refusal(400, "invalid_value", "Invalid value: 'target_uri'.")
        self._report.referred_to = target
        if not self._plan.faults.refer_is_lost:
            self.state = State.REFERRED
            asyncio.get_running_loop().call_later(self._plan.refer_s, self.end, "refer")

    def hang_up(self) -> None:
        self._must_be_up()
        self.end("rest")

    def end(self, by: str) -> None:
        """The call is over, whoever ended it. Only the first call counts."""
        if self.state is State.ENDED:
            return
        self.state = State.ENDED
        self._report.call.ended_by = by
        self.decided.set()
        self.over.set()

    def _must_be_undecided(self) -> None:
        if self.state is State.ENDED:
            raise Refusal(404, "call_id_not_found", "No session found for call_id.")
        if self.state is not State.RINGING:
            raise Refusal(409, "decision_already_made", "The call was accepted or rejected already.")

    def _must_be_up(self) -> None:
        if self.state not in (State.ANSWERED, State.REFERRED):
            raise Refusal(404, "call_id_not_found", "No session found for call_id.")

    # --- the sideband -------------------------------------------------------------------------

    @property
    def joinable(self) -> bool:
        since_s = asyncio.get_running_loop().time() - self.answered_at
        return self.decided.is_set() and self.state in (State.ANSWERED, State.REFERRED) and since_s >= self._not_yet_s

    @property
    def _not_yet_s(self) -> float:
        return self._plan.faults.not_yet_s if not self._report.sidebands else 0.0

    async def join(self, socket: TextSocket) -> None:
        """Serve a sideband until it closes or the call is over."""
        self._report.sidebands += 1
        self._sideband, self._outbox = socket, asyncio.Queue()
        self._tell({"type": "session.created", "session": self._session})
        async with asyncio.TaskGroup() as group:
            writer = group.create_task(_write(socket, self._outbox))
            with contextlib.suppress(WireClosed):
                while self._sideband is socket:
                    self._from_client(await socket.receive())
            writer.cancel()
        if self._sideband is socket:
            self._sideband = None

    async def lose_sideband(self) -> None:
        """Cut it without a close; the media goes on."""
        socket, self._sideband = self._sideband, None
        if socket is not None:
            await socket.close(1006)

    async def close(self) -> None:
        """Close both sockets; the call is over."""
        socket, self._sideband = self._sideband, None
        if socket is not None:
            await socket.close(self._plan.faults.close_code)
        await self._line.close(NORMAL)

    def _from_client(self, frame: str | bytes) -> None:
        try:
            event = json.loads(frame)
        except ValueError:
            event = {}
        kind = event.get("type") if isinstance(event, dict) else None
        self._report.events.append(f">{kind}")
        match kind:
            case "output_audio_buffer.clear":
                self.media.clear()
            case "input_audio_buffer.append":
                error = {"type": "invalid_request_error", "code": "invalid_value", "message": "Media is on SIP."}
                self._tell({"type": "error", "error": {**error, "event_id": None, "param": None}})
            case _:
                self._line.send_soon(frame if isinstance(frame, str) else frame.decode(errors="replace"))

    def _tell(self, event: Json) -> None:
        """Send an event to the sideband, if there is one: nothing is kept for later."""
        self._numbered += 1
        self._forward(json.dumps({"event_id": f"event_sip{self._numbered}", **event}), str(event["type"]))

    def _forward(self, text: str, kind: str) -> None:
        if self._sideband is not None:
            self._report.events.append(kind)
            self._outbox.put_nowait(text)

    def _pressed(self, digit: str) -> None:
        kind = "input_audio_buffer.dtmf_event_received"
        if self._plan.faults.blank_dtmf:
            kind = f" {kind}"
        self._forward(json.dumps({"type": kind, "event": digit, "received_at": int(time.time())}), kind)

    # --- the session --------------------------------------------------------------------------

    async def _configure(self, session: Mapping[str, Any]) -> None:
        audio = session.get("audio") or {}
        formats = {side: {**audio.get(side, {}), "format": FORMAT} for side in ("input", "output")}
        given = {key: value for key, value in session.items() if key != "model"}
        await self._line.send(json.dumps({"type": "session.update", "session": {**given, "audio": formats}}))
        while True:
            event = json.loads(await self._line.receive())
            if event["type"] == "session.updated":
                self._session = event["session"]
                return
            if event["type"] == "error":
                raise Refusal(400, str(event["error"]["code"]), str(event["error"]["message"]))

    async def _pump(self) -> None:
        """Pass on what the session says until it is over; without it there is no call."""
        with contextlib.suppress(WireClosed):
            while True:
                self._from_model(await self._line.receive())
        self.end("model")

    def _from_model(self, frame: str | bytes) -> None:
        text = frame if isinstance(frame, str) else frame.decode()
        event = json.loads(text)
        kind = event["type"]
        match kind:
            case "response.output_audio.delta":
                audio = base64.b64decode(event["delta"])
                self.media.play(event["response_id"], event["item_id"], audio)
                return
            case "session.updated":
                self._session = event["session"]
            case "response.done":
                self.media.finish(event["response"]["id"])
        self._forward(text, kind)
        if kind == "input_audio_buffer.speech_started" and self._interrupts:
            self.media.clear()

    @property
    def _interrupts(self) -> bool:
        detection = self._session["audio"]["input"]["turn_detection"]
        return bool(detection and detection.get("interrupt_response"))

    def _ask(self, event: Json) -> None:
        self._line.send_soon(json.dumps(event))


async def _write(socket: TextSocket, outbox: "asyncio.Queue[str]") -> None:
    with contextlib.suppress(WireClosed):
        while True:
            await socket.send(await outbox.get())
