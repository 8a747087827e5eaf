"""The frame of the carriers' simulators: import from here all that one carrier's file needs.

A carrier is one file, `gateway/simulator/carriers/NAME.py`, 100-250 lines, that exports `CARRIER = Carrier(...)`. It is
written from the vendor's documentation and shares no code with `gateway/carriers`. It has three parts.

1. **The wire**: a `Wire` for each media socket. It is pure, and it deals in the socket's own audio encoding; the frame
   converts between that and the caller's mu-law, keeps every byte for comparison (`CarrierReport.wires`), plays, and
   knows the clock::

    class PlivoWire:
        encoding = Encoding.MULAW
        limits = Limits(queue_ms=60_000, most_message_bytes=64 * 1024)   # what breaks one is lost, with a warning
        awaits_gone = False

        def hello(self): return [json.dumps({"event": "start", ...})]
        def media(self, audio, number, at_ms): return json.dumps({... b64encode(audio).decode() ...})
        def digit(self, digit): return [json.dumps({"event": "dtmf", ...})]
        def read(self, frame, queued_ms):            # never raises; a breach is Bad(code, text)
            match ...:
                case "playAudio": yield Audio(b64decode(payload))
                case "checkpoint": yield Mark(name)
                case "clearAudio": yield Clear()
        def mark(self, name, *, cleared):            # echoed when cleared? void? labelled? decided here
            return [] if cleared else [json.dumps({"event": "playedStream", "name": name})]
        def tell(self, what):                        # see Happening: XOFF/XON, cleared, drained, flooded ...
            return [json.dumps({"event": "clearedAudio"})] if what is Happening.CLEARED else []
        def stop(self): return []

   Be as strict as the vendor: a wrong key, an unknown message, a wrong id is `Bad` (with the vendor's code, or one of
   your own below 9000). A good call has no warnings, and the tests say so.

2. **The dialect**: a `Dialect` for each call. It is given the `LiveCall` and conducts it in plain `async` code. What is
   awaited in a step is cancelled when the caller hangs up or REST takes the call elsewhere, and so the stream ends as
   the carrier ends it; cleaning up is `over()`, which is called once, always::

    class PlivoDialect:
        def __init__(self, call: LiveCall) -> None: ...

        async def begin(self) -> Step | None:
            url = f"{self.call.network.public_url}/plivo/answer"
            reply = await self.call.request("POST", url, headers=..., content=...)
            return await self._follow(reply)          # or: return lambda: self._follow(reply)

        async def _follow(self, reply) -> Step | None:
            self.call.answer()                        # now the caller's script begins; refuse("busy") turns it away
            code = await self.call.stream(url, PlivoWire(...), headers)      # until the socket is closed by either side
            await self.call.say("Sorry ...")          # the carrier's own voice
            dialled = await self.call.dial(number, timeout_s=20, told=self._progress)   # rings, bridges, returns how
            return None                               # nothing follows: the call ends

        async def over(self) -> None: ...             # hang-up webhook

   *REST-driven carriers* (Telnyx): `begin` sends the first event and returns `await call.forever()`; requests then
   act by `call.spawn(work)` (beside), `call.redirect(step)` (in place of what runs), `call.hang_up()`,
   `call.stop_stream()`, `call.say`, `call.dial`. Several streams one after another are fine. *Carriers without
   webhooks* (Asterisk, Genesys, AudioSocket): `begin` is `answer()` and `stream(...)`, and what follows is the dial
   plan. What the wire learns that the dialect must know (output variables, a hang-up message) goes through an object
   both have; `Leave()` ends the stream from the carrier's side, `Gone()` says that the application acknowledged
   `stop()` (set `awaits_gone`). A subprotocol is offered by the header `sec-websocket-protocol`. TCP is
   `stream("tcp://host:port", ...)`; its pieces are of any size, so the wire frames them.

3. **The REST stand-in**, where there is one: an ASGI application made by `Carrier.rest(network)`. It finds a call by
   `network.calls[id]`, checks credentials against `network.keys`, reports with `network.asked(call, "hangup", 200)`.
   Gateway side: give `Front.transport` to your REST client (`httpx2.AsyncClient(transport=front.transport, ...)`; None
   is the network), and requests reach the stand-in in process, on the virtual clock. The gateway's setting named by
   `rest_setting` is set to the stand-in's origin.

`Carrier.keys(settings)` takes what requests are signed with from the gateway's `Settings` and raises `ConfigError`,
naming the missing variable. Where the gateway holds a public key (Telnyx) sign with a key of the simulator's own, and
say in the error which public key to set. `Carrier.settings` are the fields of a gateway that the simulator can call.
Time stamps of signatures come from `network.unix_s()`, ids from `network.rng`, so that runs repeat.

Test: `gateway.simulator.carriers.world.carrier_world(...)` runs the real application against `CARRIER` in process;
`tests/carriers/scenario.py` has the scenario that every carrier must pass. By hand: `gateway simulate carrier NAME`.
"""

from gateway.simulator.asgi import Application
from gateway.simulator.carriers.asks import (
    Ask,
    Audio,
    Bad,
    Clear,
    Digits,
    Frame,
    Gone,
    Happening,
    Leave,
    Limits,
    Mark,
    Pause,
    Reply,
    WhenDrained,
    Wire,
)
from gateway.simulator.carriers.encoding import Encoding
from gateway.simulator.carriers.live import Dialect, LiveCall, Plan, Step
from gateway.simulator.carriers.network import Carrier, CarrierNetwork
from gateway.simulator.carriers.people import Dialled, Human
from gateway.simulator.carriers.report import CarrierReport, WireLog
from gateway.simulator.carriers.requests import Reply as HttpReply

__all__ = [
    "Application",
    "Ask",
    "Audio",
    "Bad",
    "Carrier",
    "CarrierNetwork",
    "CarrierReport",
    "Clear",
    "Dialect",
    "Dialled",
    "Digits",
    "Encoding",
    "Frame",
    "Gone",
    "Happening",
    "HttpReply",
    "Human",
    "Leave",
    "Limits",
    "LiveCall",
    "Mark",
    "Pause",
    "Plan",
    "Reply",
    "Step",
    "WhenDrained",
    "Wire",
    "WireLog",
]
