"""The service: sends the webhook, serves the calls endpoints and the sideband, keeps the caller on the line.

`app` is an ASGI application, for a loopback port or in process. `place` runs one call, on any event loop.
"""

import asyncio
import hmac
import json
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import httpx2
from fastapi import FastAPI, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse

from gateway.simulator.carrier.caller import Caller, ScriptFailed
from gateway.simulator.carrier.line import PhoneLine
from gateway.simulator.carrier.mouth import Mouth
from gateway.simulator.carrier.report import CallReport, Event
from gateway.simulator.carrier.script import Script, clips_of
from gateway.simulator.model import ModelServer
from gateway.simulator.openai_sip.call import Refusal, SipSession, State
from gateway.simulator.openai_sip.plan import SipPlan
from gateway.simulator.openai_sip.report import SipReport
from gateway.simulator.openai_sip.webhooks import incoming_body, send, signed
from gateway.wire import TextSocket, WireClosed

__all__ = ["SipService"]

CALLS = "/v1/realtime/calls"
SIDEBAND = "/v1/realtime"
TRIES = 3
RETRY_S = 1.0
"""Pause before a webhook that was not answered with 200 is sent again."""
LIMIT_S = 1800.0
NOT_TAKEN = 9102
NOT_TAKEN_BECAUSE = {0: "its webhook was not answered"} | {
    status: f"its webhook: HTTP {status}: is OPENAI_WEBHOOK_SECRET of this command the gateway's? Its log says more"
    for status in (401, 403)
}


class SipService:
    """One OpenAI project and its webhook endpoint."""

    def __init__(self, model: ModelServer, target_url: str, secret: str, *, api_key: str | None = None) -> None:
        """Webhooks go to `target_url`; `api_key` is the only one let in, None lets everybody."""
        self.app = FastAPI(openapi_url=None)
        self.live: dict[str, SipSession] = {}
        """Calls by id, those that are over too."""
        self._model = model
        self._target_url = target_url
        self._secret = secret
        self._api_key = api_key
        self._reports: dict[str, SipReport] = {}
        self._plans: dict[str, SipPlan] = {}
        self._asked: dict[tuple[str, str], int] = {}
        self._refuse_until = 0.0
        self._add_routes()

    async def place(self, plan: SipPlan, http: httpx2.AsyncClient) -> SipReport:
        """Run one call; return when it is over. `http` delivers the webhook."""
        call_id = f"rtc_{plan.seed:04d}{len(self.live):04d}"
        report = SipReport(CallReport(call_id))
        self._reports[call_id], self._plans[call_id] = report, plan
        async with asyncio.TaskGroup() as group:
            session = self.live[call_id] = SipSession(call_id, plan, report, self._model, group)
            webhooks = group.create_task(self._announce(session, plan, report, http))
            with suppress(TimeoutError):
                async with asyncio.timeout(plan.ring_s):
                    await session.decided.wait()
            webhooks.cancel()
            if session.state is State.ANSWERED:
                await self._talk(session, plan, report)
                report.call.outcome = "completed"
            else:
                report.call.outcome = "rejected" if session.state is State.REJECTED else "no-answer"
                session.end("caller")
            report.truncations = session.media.truncated
            await session.close()
        return report

    async def _announce(self, session: SipSession, plan: SipPlan, report: SipReport, http: httpx2.AsyncClient) -> None:
        faults = plan.faults
        created_at = int(time.time()) - faults.age_s
        for number in range(faults.bodies):
            event_id = f"evt_{session.call_id}_{number}"
            body = incoming_body(event_id, session.call_id, plan.sip_headers, created_at)
            for _ in range(faults.deliveries):
                for _ in range(TRIES):
                    headers = signed(body, self._secret, f"wh_{session.call_id}_{number}")
                    status = await send(http, self._target_url, body, headers)
                    report.deliveries.append(status)
                    if status == 200:
                        break
                    report.call.warn(0.0, NOT_TAKEN, NOT_TAKEN_BECAUSE.get(status, f"its webhook: HTTP {status}"))
                    await asyncio.sleep(RETRY_S)

    async def _talk(self, session: SipSession, plan: SipPlan, report: SipReport) -> None:
        chance = random.Random(f"{plan.seed} person")
        line = PhoneLine(report.call, Mouth(plan.surroundings, clips_of(plan.script), chance))
        line.stream = session.media
        async with asyncio.TaskGroup() as group:
            beside = [
                group.create_task(line.run()),
                group.create_task(_play(Caller(line, report.call, chance), plan.script, session, report)),
                group.create_task(self._lose(session, plan)),
            ]
            with suppress(TimeoutError):
                async with asyncio.timeout(LIMIT_S):
                    await session.over.wait()
            report.call.duration_s = line.clock()
            for task in beside:
                task.cancel()

    async def _lose(self, session: SipSession, plan: SipPlan) -> None:
        clock, began_s = asyncio.get_running_loop().time, asyncio.get_running_loop().time()
        for at_s in plan.faults.lose_sideband_at_s:
            await asyncio.sleep(max(0.0, began_s + at_s - clock()))
            self._refuse_until = clock() + plan.faults.refuse_s
            await session.lose_sideband()

    # --- HTTP ---------------------------------------------------------------------------------

    def _add_routes(self) -> None:
        @self.app.post(CALLS + "/{call_id}/{what}")
        async def endpoint(request: Request, call_id: str, what: str) -> Response:
            if not self._key_fits(request.headers.get("authorization", "")):
                return _error(401, "invalid_api_key", "Incorrect API key provided.")
            return await self._asked_for(call_id, what, await request.body())

        @self.app.websocket(SIDEBAND)
        async def sideband(websocket: WebSocket) -> None:
            session = self.live.get(websocket.query_params.get("call_id", ""))
            if asyncio.get_running_loop().time() < self._refuse_until:
                await websocket.send_denial_response(_error(503, "server_error", "Try again."))
            elif session is None or not session.joinable:
                await websocket.send_denial_response(_error(404, "call_id_not_found", "No session found."))
            elif not self._key_fits(websocket.headers.get("authorization", "")):
                await websocket.send_denial_response(_error(401, "invalid_api_key", "Incorrect API key provided."))
            else:
                await websocket.accept()
                await session.join(_AsgiSocket(websocket))

    async def _asked_for(self, call_id: str, what: str, body: bytes) -> Response:
        session, report = self.live.get(call_id), self._reports.get(call_id)
        if session is None or report is None:
            return _error(404, "call_id_not_found", "No session found for call_id.")
        since_s = asyncio.get_running_loop().time() - session.answered_at if session.answered_at else 0.0
        ordered = self._ordered(call_id, what)
        if ordered:
            report.requests.append(Event(since_s, what, str(ordered)))
            return _error(ordered, "server_error", "The server had an error.")
        try:
            await self._do(session, what, body)
        except Refusal as refused:
            report.requests.append(Event(since_s, what, str(refused.status)))
            return _error(refused.status, refused.code, str(refused))
        lost = ordered == 0
        report.requests.append(Event(since_s, what, "lost" if lost else "200"))
        return _error(502, "bad_gateway", "The answer was lost.") if lost else Response(status_code=200)

    async def _do(self, session: SipSession, what: str, body: bytes) -> None:
        try:
            fields = json.loads(body) if body else {}
        except ValueError:
            raise Refusal(400, "invalid_json", "The body is not JSON.") from None
        doing: dict[str, Callable[[], Awaitable[None] | None]] = {
            "accept": lambda: session.accept(fields),
            "reject": lambda: session.reject(int(fields.get("status_code", 603))),
            "refer": lambda: session.refer(str(fields.get("target_uri", ""))),
            "hangup": session.hang_up,
        }
        if what not in doing:
            raise Refusal(404, "not_found", "Not found.")
        done = doing[what]()
        if done is not None:
            await done

    def _ordered(self, call_id: str, what: str) -> int | None:
        """Return the status that the plan orders for this request; None: as it comes out."""
        statuses = self._plans[call_id].faults.status.get(what, ())
        number = self._asked.get((call_id, what), 0)
        self._asked[call_id, what] = number + 1
        return statuses[number] if number < len(statuses) else None

    def _key_fits(self, authorization: str) -> bool:
        wanted = self._api_key
        return wanted is None or hmac.compare_digest(authorization.encode(), f"Bearer {wanted}".encode())


class _AsgiSocket(TextSocket):
    """A WebSocket of the application as a `TextSocket`."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket

    async def receive(self) -> str | bytes:
        try:
            return await self._websocket.receive_text()
        except WebSocketDisconnect as gone:
            raise WireClosed(gone.code) from None
        except (RuntimeError, KeyError):
            raise WireClosed(1006) from None

    async def send(self, text: str | bytes) -> None:
        try:
            await self._websocket.send_text(text if isinstance(text, str) else text.decode())
        except (RuntimeError, WebSocketDisconnect):
            raise WireClosed(1006) from None

    async def close(self, code: int = 1000, reason: str = "") -> None:
        with suppress(RuntimeError, WebSocketDisconnect):
            # 1006 cannot be sent: a lost connection is acted out as a server that went away.
            await self._websocket.close(1011 if code == 1006 else code, reason)


async def _play(caller: Caller, script: Script, session: SipSession, report: SipReport) -> None:
    try:
        await caller.run(script)
    except ScriptFailed as error:
        report.call.script_error = str(error)
    session.end("caller")


def _error(status: int, code: str, message: str) -> JSONResponse:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return JSONResponse({"error": {"type": kind, "code": code, "message": message, "param": None}}, status)
