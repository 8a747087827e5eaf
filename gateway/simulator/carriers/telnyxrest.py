"""A stand-in of Telnyx' Call Control API: commands to calls, and new calls.

As strict as the documentation: a Bearer key, known actions, needed and known parameters, no command twice, and 422 with
code 90018 for a call that has ended.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from gateway.simulator.carrier.plan import Callee
from gateway.simulator.carriers.frame import Application, CarrierNetwork, LiveCall, Plan

if TYPE_CHECKING:
    from gateway.simulator.carriers.telnyx import TelnyxDialect

__all__ = ["rest"]

NOT_FOUND, BAD_KEY, INVALID, UNAVAILABLE = "10005", "10009", "10015", "10016"
ENDED, NOT_NOW = "90018", "90034"
"""Telnyx' code for a call that has ended; the other one is of this simulator."""
STREAM = {
    "stream_url",
    "stream_track",
    "stream_codec",
    "stream_bidirectional_mode",
    "stream_bidirectional_codec",
    "stream_bidirectional_sampling_rate",
    "stream_auth_token",
}
ALWAYS = {"client_state", "command_id"}
SPEECH = {"payload", "voice", "language", "service_level"}


@dataclass(slots=True, frozen=True)
class _Action:
    needed: frozenset[str] = frozenset()
    known: frozenset[str] = frozenset()


def _action(needed: str = "", *known: set[str]) -> _Action:
    must = frozenset(needed.split())
    return _Action(must, must.union(ALWAYS, *known))


ACTIONS = {
    "answer": _action("", STREAM, {"send_silence_when_idle"}),
    "reject": _action("cause"),
    "hangup": _action(),
    "streaming_start": _action("stream_url", STREAM),
    "streaming_stop": _action("", {"stream_id"}),
    "send_dtmf": _action("digits", {"duration_millis"}),
    "speak": _action("payload voice", SPEECH),
    "transfer": _action("to", {"from", "timeout_secs", "target_leg_client_state", "early_media"}),
    "bridge": _action("call_control_id", {"park_after_unbridge"}),
}
OF_HUMANS = {
    "hangup": _action(),
    "speak": _action("payload voice", SPEECH),
    "gather_using_speak": _action(
        "payload voice",
        SPEECH,
        {"maximum_digits", "maximum_tries", "timeout_millis", "terminating_digit", "valid_digits"},
    ),
}
DIAL = _action("connection_id to from", {"timeout_secs"})


class _Refused(Exception):
    def __init__(self, status: int, code: str, title: str) -> None:
        super().__init__(title)
        self.status = status
        self.code = code


def rest(network: CarrierNetwork) -> Application:
    """Return the application."""
    app = FastAPI(openapi_url=None)

    @app.post("/v2/calls/{call_id}/actions/{action}")
    async def command(call_id: str, action: str, request: Request) -> JSONResponse:
        call = network.calls.get(call_id) or _caller_of(network, call_id)
        try:
            body = await _body(network, request)
            _obey(call, call_id, action, body)
        except _Refused as refused:
            return _answered(network, call, action, refused)
        network.asked(call, action, 200)
        return JSONResponse({"data": {"result": "ok"}})

    @app.post("/v2/calls")
    async def dial(request: Request) -> JSONResponse:
        call = None
        try:
            body = await _body(network, request)
            _check("dial", DIAL, body)
            live = (it for it in network.calls.values() if it.answered and not it.ended.is_set())
            # Who is called from the number of a live call is to be told of its caller.
            call = next((it for it in live if it.plan.to == body["from"]), None)
            leg = _dial(call, body) if call is not None else _place(network, body)
        except _Refused as refused:
            return _answered(network, call, "dial", refused)
        network.asked(call, "dial", 200)
        data = {"record_type": "call", "call_control_id": leg, "is_alive": False}
        return JSONResponse({"data": data})

    return app


def _obey(call: LiveCall | None, call_id: str, action: str, body: Mapping[str, Any]) -> None:
    if call is None:
        raise _Refused(404, NOT_FOUND, "Resource not found")
    dialect = _dialect(call)
    human = dialect.humans.get(call_id)
    if call.ended.is_set() or (human is not None and human.gone.is_set()):
        raise _Refused(422, ENDED, "Call has already ended")
    if action in dialect.trouble.broken:
        raise _Refused(503, UNAVAILABLE, "Service unavailable")
    if action in dialect.trouble.refused:
        raise _Refused(422, INVALID, "Refused")
    _check(action, (ACTIONS if human is None else OF_HUMANS).get(action), body)
    if _again(dialect, body):
        return
    if human is not None:
        {"hangup": human.hangup, "speak": human.speak, "gather_using_speak": human.gather_using_speak}[action](body)
        return
    _possible(call, dialect, action, body)
    if isinstance(body.get("client_state"), str):
        dialect.state = body["client_state"]
    {
        "answer": dialect.answer,
        "reject": dialect.reject,
        "hangup": dialect.hangup,
        "streaming_start": dialect.streaming_start,
        "streaming_stop": dialect.streaming_stop,
        "send_dtmf": dialect.send_dtmf,
        "speak": dialect.speak,
        "transfer": dialect.transfer,
        "bridge": dialect.bridge,
    }[action](body)


def _possible(call: LiveCall, dialect: "TelnyxDialect", action: str, body: Mapping[str, Any]) -> None:
    """Raise `_Refused` for what the call's state does not allow."""
    if call.answered is (action in ("answer", "reject")) and action != "hangup":
        raise _Refused(422, NOT_NOW, "the call is answered" if call.answered else "the call is not answered yet")
    if action == "streaming_start" and call.streaming:
        raise _Refused(422, NOT_NOW, "one bidirectional stream a call")
    if action == "bridge" and str(body["call_control_id"]) not in dialect.humans:
        raise _Refused(422, INVALID, "no such call to bridge with")
    if "stream_url" in body and body.get("stream_bidirectional_mode") != "rtp":
        raise _Refused(422, INVALID, "this simulator plays no mp3: the caller would hear nothing")


def _dial(call: LiveCall, body: Mapping[str, Any]) -> str:
    dialect = _dialect(call)
    human = dialect.human(str(body["to"]), body.get("client_state"))
    call.spawn(human.bring(float(body.get("timeout_secs", 30)), apart=True))
    return human.leg


def _place(network: CarrierNetwork, body: Mapping[str, Any]) -> str:
    """Begin a call of the application's own."""
    callee = network.party(str(body["to"])) or Callee(outcome="no-answer")
    ring_s = float(body.get("timeout_secs", 30))
    plan = Plan(to=str(body["to"]), from_=str(body["from"]), script=callee.script, ring_s=ring_s + 1)
    call = network.offer(plan)
    dialect = _dialect(call)
    if dialect.place is None or "dial" in dialect.trouble.broken:
        del network.calls[call.call_id]
        if dialect.place is not None:
            raise _Refused(503, UNAVAILABLE, "Service unavailable")
        raise _Refused(422, INVALID, "no call of this network has that number, and it places none")
    dialect.callee, dialect.state = callee, body.get("client_state")
    dialect.place(call)
    return call.call_id


def _check(name: str, action: _Action | None, body: Mapping[str, Any]) -> None:
    if action is None:
        raise _Refused(404, NOT_FOUND, f"no action {name}")
    missing, strange = action.needed - set(body), set(body) - action.known
    if missing or strange or "command_id" not in body:
        raise _Refused(422, INVALID, f"{name}: missing {sorted(missing)}, unknown {sorted(strange)}")


def _again(dialect: "TelnyxDialect", body: Mapping[str, Any]) -> bool:
    """Whether a command was obeyed before: then nothing happens, and it is answered as it was then."""
    command_id = str(body["command_id"])
    again = command_id in dialect.done
    dialect.done.add(command_id)
    return again


async def _body(network: CarrierNetwork, request: Request) -> Mapping[str, Any]:
    if request.headers.get("authorization") != f"Bearer {network.keys['api_key']}":
        raise _Refused(401, BAD_KEY, "Authentication failed")
    try:
        body = await request.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise _Refused(422, INVALID, "the body must be a JSON object")
    return body


def _answered(network: CarrierNetwork, call: LiveCall | None, action: str, refused: _Refused) -> JSONResponse:
    network.asked(call, action, refused.status)
    return JSONResponse({"errors": [{"code": refused.code, "title": str(refused)}]}, refused.status)


def _caller_of(network: CarrierNetwork, leg: str) -> LiveCall | None:
    return next((call for call in network.calls.values() if leg in _dialect(call).humans), None)


def _dialect(call: LiveCall) -> "TelnyxDialect":
    from gateway.simulator.carriers.telnyx import TelnyxDialect

    assert isinstance(call.dialect, TelnyxDialect), "a network has calls of one carrier"
    return call.dialect
