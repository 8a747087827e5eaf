"""Telnyx as it calls an application: signed Call Control events, REST commands, media streaming.

Written from Telnyx' documentation ("Call Control", "Webhook fundamentals", "Media streaming over WebSocket"). Nothing
happens to a call but by command; what has happened is told by events, which are repeated until one is answered 2xx,
and which `Trouble` repeats and delays beyond that. A stream without audio for 1.5 s ends the call.
"""

import asyncio
import base64
import json
import random
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.config import Settings
from gateway.errors import ConfigError
from gateway.simulator.carrier.plan import Callee
from gateway.simulator.carriers.frame import Carrier, LiveCall, Step
from gateway.simulator.carriers.telnyxpeople import Human
from gateway.simulator.carriers.telnyxrest import rest
from gateway.simulator.carriers.telnyxwire import ENCODINGS, TelnyxWire, Traffic

__all__ = ["CARRIER", "Place", "TelnyxDialect", "Trouble", "telnyx"]

Place: TypeAlias = Callable[[LiveCall], None]

PRIVATE_KEY = bytes(range(32))
"""Of nobody's account: only gateways that are being tried believe it."""
PUBLIC_KEY = base64.b64encode(
    Ed25519PrivateKey.from_private_bytes(PRIVATE_KEY).public_key().public_bytes_raw()
).decode()
DELIVERIES = 5
AGAIN_S = 0.5
"""Between deliveries; Telnyx: by the connection's policy, within 60 s."""
LOOK_S = 0.1
WIRE_LOST = (1006, 1011, 1012)
UNANSWERED = {"busy": "user_busy", "no-answer": "timeout", "failed": "not_found"}
CAUSES = {"caller": ("normal_clearing", "caller"), "time_limit": ("time_limit", "unknown")}


@dataclass(slots=True, frozen=True)
class Trouble:
    """What a trunk is like, and how badly Telnyx treats the application within what it promises."""

    trunk: str = "PCMU,PCMA"
    """Codecs that the caller's side offers, its preferred one first."""
    speaks: str = ""
    """What `start` says, where Telnyx cannot transcode what was asked for; "" is what was asked for."""
    shuffled: bool = False
    """The caller's frames come in the wrong order."""
    repeated: bool = False
    """Every event is delivered twice, and the second one of a pair may overtake the first of the next."""
    unreachable: int = 0
    """So many streams fail before one can be opened."""
    silence_s: float = 1.5
    broken: frozenset[str] = frozenset()
    """Actions that are answered 503 and not done."""
    refused: frozenset[str] = frozenset()
    """Actions that are answered 422 and not done."""


class TelnyxDialect:
    """One caller's leg. The commands of its REST API are the methods that are named like them."""

    def __init__(self, call: LiveCall, trouble: Trouble, place: Place | None = None) -> None:
        self.call = call
        self.trouble = trouble
        self.place = place
        self.callee: Callee | None = None
        """Who is called, where the application has placed this call."""
        self.humans: dict[str, Human] = {}
        """By the id of their leg."""
        self.done: set[str] = set()
        """Ids of commands."""
        self.state: str | None = None
        """The newest `client_state`."""
        self._unreachable = trouble.unreachable
        self._session = str(uuid.UUID(int=call.network.rng.getrandbits(128)))

    # --- what the frame asks ------------------------------------------------------------------

    async def begin(self) -> Step | None:
        if self.callee is not None:
            await self._ring(self.callee)
            return None
        await self.deliver(
            "call.initiated",
            direction="incoming",
            state="parked",
            offered_codecs=self.trouble.trunk,
            connection_codecs="PCMU,PCMA,G722",
        )
        await self.call.forever()
        return None

    async def _ring(self, callee: Callee) -> None:
        await self.deliver("call.initiated", direction="outgoing", state="bridging")
        await asyncio.sleep(self.call.plan.ring_s if callee.outcome == "no-answer" else callee.ring_s)
        if callee.outcome != "answered":
            return self.call.refuse(callee.outcome)
        self.call.answer()
        self.tell("call.answered")
        await self.call.forever()

    async def over(self) -> None:
        for human in self.humans.values():
            await human.over("originator_cancel")
        cause, source = CAUSES.get(self.call.report.call.ended_by, ("normal_clearing", "callee"))
        if self.callee is not None and not self.call.answered:
            cause = UNANSWERED[self.call.report.call.outcome]
        await self.deliver("call.hangup", hangup_cause=cause, hangup_source=source, sip_hangup_cause="200")

    # --- commands -----------------------------------------------------------------------------

    def answer(self, body: Mapping[str, Any]) -> None:
        self.call.answer()
        self.tell("call.answered")
        if "stream_url" in body:
            self.streaming_start(body)

    def reject(self, body: Mapping[str, Any]) -> None:
        self.call.refuse("busy" if body["cause"] == "USER_BUSY" else "failed")

    def hangup(self, body: Mapping[str, Any]) -> None:
        self.call.hang_up()

    def streaming_start(self, body: Mapping[str, Any]) -> None:
        self.call.spawn(self._stream(body))

    def streaming_stop(self, body: Mapping[str, Any]) -> None:
        self.call.stop_stream()

    def send_dtmf(self, body: Mapping[str, Any]) -> None:
        self.call.heard_key("".join(digit for digit in str(body["digits"]) if digit not in "wW"))

    def speak(self, body: Mapping[str, Any]) -> None:
        async def speak() -> None:
            self.tell("call.speak.started")
            await self.call.say(str(body["payload"]))
            self.tell("call.speak.ended", status="completed")

        self.call.spawn(speak())

    def transfer(self, body: Mapping[str, Any]) -> None:
        human = self.human(str(body["to"]), body.get("target_leg_client_state"))
        self.call.spawn(human.bring(float(body.get("timeout_secs", 30))))

    def bridge(self, body: Mapping[str, Any]) -> None:
        self.humans[str(body["call_control_id"])].accepted.set()

    # --- events -------------------------------------------------------------------------------

    def human(self, number: str, state: object) -> Human:
        """Open a leg to somebody."""
        leg = self.call.network.carrier.new_id(self.call.network.rng)
        human = self.humans[leg] = Human(self, leg, number, state if isinstance(state, str) else None)
        return human

    def tell(self, kind: str, *, leg: str = "", **payload: object) -> None:
        """Deliver an event beside everything else."""

        async def told() -> None:
            await self.deliver(kind, leg=leg, **payload)

        self.call.spawn(told())

    async def deliver(self, kind: str, *, leg: str = "", **payload: object) -> bool:
        """Deliver an event until it is answered 2xx, or has been tried often enough: False."""
        plan = self.call.plan
        told: dict[str, object] = {
            "call_control_id": leg or self.call.call_id,
            "call_leg_id": str(uuid.UUID(int=self.call.network.rng.getrandbits(128))),
            "call_session_id": self._session,
            "connection_id": "1494404757140276705",
            "client_state": self.state,
            "from": plan.from_,
            "to": plan.to,
            **payload,
        }
        data = {
            "record_type": "event",
            "event_type": kind,
            "id": str(uuid.UUID(int=self.call.network.rng.getrandbits(128))),
            "occurred_at": "2026-11-22T06:00:00.000000Z",
            "payload": told,
        }
        for attempt in range(1, DELIVERIES + 1):
            taken = await self._post(data, attempt)
            if taken and not (self.trouble.repeated and attempt == 1):
                return True
            await asyncio.sleep(AGAIN_S)
        return False

    async def _post(self, data: Mapping[str, object], attempt: int) -> bool:
        network = self.call.network
        url = f"{network.public_url}/telnyx/voice"
        body = json.dumps({"data": data, "meta": {"attempt": attempt, "delivered_to": url}}).encode()
        at = str(network.unix_s())
        key = Ed25519PrivateKey.from_private_bytes(base64.b64decode(network.keys["private_key"]))
        headers = {
            "content-type": "application/json",
            "telnyx-timestamp": at,
            "telnyx-signature-ed25519": base64.b64encode(key.sign(at.encode() + b"|" + body)).decode(),
        }
        reply = await self.call.request("POST", url, headers=headers, content=body, what=str(data["event_type"]))
        return 200 <= reply.status < 300

    # --- the stream ---------------------------------------------------------------------------

    async def _stream(self, asked: Mapping[str, Any]) -> None:
        if self._unreachable:
            self._unreachable -= 1
            self.tell("streaming.failed", failure_reason="connection_failed", stream_type="websocket")
            return
        traffic, codec = Traffic(), str(asked.get("stream_bidirectional_codec", "PCMU"))
        plan = self.call.plan
        ids = {
            "call_control_id": self.call.call_id,
            "from": plan.from_,
            "to": plan.to,
            "client_state": self.state or "",
        }
        stream_id = str(uuid.UUID(int=self.call.network.rng.getrandbits(128)))
        said = self.trouble.speaks
        spoken = said if said in ENCODINGS else codec
        wire = TelnyxWire(ids, stream_id, spoken, traffic, said=said, shuffled=self.trouble.shuffled)
        headers = (
            {"x-telnyx-streaming-auth-token": str(asked["stream_auth_token"])} if "stream_auth_token" in asked else {}
        )
        self.tell("streaming.started", stream_id=stream_id)
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(self._watch(traffic))
            code = await self.call.stream(str(asked["stream_url"]), wire, headers)
            watch.cancel()
        if code == 0 or code in WIRE_LOST:
            lost_s = self.call.clock()
            if not await self.deliver("streaming.failed", failure_reason="connection_failed", stream_id=stream_id):
                self._abandoned(lost_s)
        else:
            self.tell("streaming.stopped", stream_id=stream_id)

    def _abandoned(self, lost_s: float) -> None:
        """Nobody is left to say how the call goes on: it was over when the stream was lost."""
        if not self.call.ended.is_set() and not self.humans:
            self.call.hang_up("application_error")
            self.call.report.call.duration_s = lost_s

    async def _watch(self, traffic: Traffic) -> None:
        """End the call when the application has sent no audio for too long."""
        seen, since = -1, 0.0
        while since < self.trouble.silence_s:
            await asyncio.sleep(LOOK_S)
            since = 0.0 if traffic.media != seen else since + LOOK_S
            seen = traffic.media
        self.call.hang_up("silence")


def telnyx(trouble: Trouble = Trouble(), place: Place | None = None) -> Carrier:  # noqa: B008  frozen
    """Return Telnyx with these troubles. `place` runs the calls that an application places; None: it may place none."""
    return Carrier(
        name="telnyx",
        dialect=lambda call: TelnyxDialect(call, trouble, place),
        new_id=_new_id,
        keys=_keys,
        settings={"telnyx_public_key": PUBLIC_KEY, "telnyx_api_key": "KEY0123456789"},
        rest=rest,
        rest_setting="telnyx_api_url",
        needs_rest=True,
    )


def _new_id(rng: random.Random) -> str:
    return "v3:" + base64.urlsafe_b64encode(rng.randbytes(40)).decode().rstrip("=")


def _keys(settings: Settings) -> Mapping[str, str]:
    if settings.telnyx_public_key != PUBLIC_KEY:
        raise ConfigError(f"the simulator signs with a key of its own: set GATEWAY_TELNYX_PUBLIC_KEY={PUBLIC_KEY}")
    if settings.telnyx_api_key is None:
        raise ConfigError("GATEWAY_TELNYX_API_KEY is not set; any value will do for the simulator")
    private = base64.b64encode(PRIVATE_KEY).decode()
    return {"private_key": private, "api_key": settings.telnyx_api_key.get_secret_value()}


CARRIER = telnyx()
