"""The simulated world with telephones in it: the gateway's REST requests reach the network of its callers."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
from twilio.http.response import Response

from gateway.agents import AgentsFile
from gateway.app import create_app
from gateway.carriers.twilio.rest import RestHttp, TwilioRest
from gateway.config import Settings
from gateway.errors import ModelError
from gateway.simulator.asgi import AsgiHost
from gateway.simulator.carrier import CallbackFaults, CallReport, Party, TwilioNetwork, twiml
from gateway.simulator.carrier import TwilioRest as SimulatedRest
from gateway.simulator.model import ModelServer, Scenario, ScriptedEngine
from gateway.simulator.world import ACCOUNT, CALLER, NUMBER, PUBLIC, TOKEN, World
from gateway.store.memory import MemoryStore
from gateway.wire import TextSocket, pipe
from tests.faults.ends import MEDIA_URL, Stream

__all__ = ["HUMAN", "SID", "Rest", "Stage", "agents", "stage", "token_of", "transfers_at"]

HUMAN = "+14155550150"
SID = "CA" + "7" * 32
REST_S = 0.15
"""How long the API takes to answer."""


@dataclass
class Rest(RestHttp):
    """Requests of the official client, to an application in this process."""

    http: httpx2.AsyncClient
    seen: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """Last part of the path, and the form."""
    answers: list[tuple[int, dict[str, object]]] = field(default_factory=list)
    """Status and body of the next answers, in place of what the network would have done."""
    refuses: str = ""
    """Requests with this text in them are refused."""
    answer_s: float = REST_S
    is_async: bool = True

    async def request(self, method: str, url: str, **more: Any) -> Response:
        self.seen.append((url.rpartition("/")[2], dict(more.get("data") or {})))
        await asyncio.sleep(self.answer_s)
        if self.refuses and self.refuses in str(more.get("data")):
            return Response(400, json.dumps({"code": 21220, "message": "refused", "status": 400}))
        if self.answers:
            status, body = self.answers.pop(0)
            return Response(status, json.dumps(body))
        answer = await self.http.request(method, url, data=more.get("data"), auth=more.get("auth"))
        return Response(answer.status_code, answer.text)

    async def close(self) -> None:
        pass


@dataclass
class Stage(World):
    """Handles to every part."""

    rest: Rest
    api: SimulatedRest

    async def settled(self) -> None:
        """Wait until no call lives, every leg is down and every request was answered."""
        await super().settled()
        for call in list(self.network.calls.values()):
            await call.finished()
        await asyncio.sleep(1.0)

    async def webhook(
        self, path: str, form: Mapping[str, str] | None = None, *, signed_for: str = ""
    ) -> httpx2.Response:
        """POST a form as Twilio does, of a call that the network knows nothing of."""
        fields = {"CallSid": SID, "AccountSid": ACCOUNT, "From": CALLER, "To": NUMBER, "Direction": "inbound"}
        fields |= {"CallStatus": "ringing", **(form or {})}
        signature = self.network.sign(signed_for or PUBLIC + path, fields)
        return await self.http.post(PUBLIC + path, data=fields, headers={"x-twilio-signature": signature})

    async def stream(self, reply: httpx2.Response) -> Stream:
        """Open the media socket that an answer asks for, and start it."""
        stream = Stream(await self.host.connect(MEDIA_URL, {"x-twilio-signature": self.network.sign(MEDIA_URL, {})}))
        await stream.start(token_of(reply))
        return stream

    @property
    def states(self) -> list[object]:
        """What the journal says of transfers."""
        return [data["state"] for data in self.kinds("transfer")]

    @property
    def humans(self) -> list[CallReport]:
        """The legs to humans."""
        return [call.report for call in self.network.calls.values() if call.facts.to == HUMAN]

    @property
    def outputs(self) -> list[object]:
        """What the model was told by function results."""
        return [json.loads(output.output) for output in self.session.outputs]

    def forms(self, path: str) -> list[dict[str, Any]]:
        """What was asked of the API."""
        return [form for at, form in self.rest.seen if at == path]


def token_of(reply: httpx2.Response) -> str:
    """Return the token of an answer that connects a stream and knows what follows it."""
    (connect, redirect) = twiml.parse_twiml(reply.content).verbs
    assert isinstance(connect, twiml.Connect)
    assert isinstance(redirect, twiml.Redirect) and redirect.url.startswith(f"{PUBLIC}/twilio/after?")
    return connect.stream.parameters["token"]


def agents(mode: str, **target: object) -> AgentsFile:
    """One agent who may transfer to one human."""
    entry = {"number": HUMAN, "mode": mode, "ring_s": 10} | target
    agent = {
        "numbers": [NUMBER],
        "instructions": "You help customers of Acme.",
        "greeting": "Hello, this is Acme. How can I help?",
        "transfer": {"targets": {"sales": entry}},
        "fallback": {"say": "Sorry. Please call later."},
    }
    return AgentsFile.model_validate({"agents": {"support": agent}})


def transfers_at(turn: int = 1, back: str = "Nobody is free, sorry. Anything else?") -> Scenario:
    """A model that asks for the transfer at a turn, and says something when it did not happen."""
    call = {"name": "transfer_call", "arguments": {"target": "sales", "summary": "Ann wants 12 <red> & 3 blue ones."}}
    answers = [{"say": "Sure."}] * (turn - 1)
    transfer = {"say": "One moment, I am putting you through.", "calls": [call], "result": back}
    after = [{"say": "Goodbye then, and thank you for calling."}] * 3
    return Scenario.model_validate({"turns": [*answers, transfer, *after]})


@asynccontextmanager
async def stage(
    file: AgentsFile,
    people: Sequence[Party],
    scenario: Scenario | None = None,
    *,
    faults: CallbackFaults | None = None,
    **settings: object,
) -> AsyncIterator[Stage]:
    """Build and start everything; on the way out stop everything. Run it inside `clock.run`."""
    scenario = scenario or transfers_at()
    values: dict[str, object] = {
        "public_url": PUBLIC,
        "model_url": "wss://model.example.com/v1/realtime",
        "openai_api_key": "sk-test",
        "twilio_account_sid": ACCOUNT,
        "twilio_auth_token": TOKEN,
    }
    model, store = ModelServer(ScriptedEngine(scenario), scenario.server), MemoryStore()
    rest: list[Rest] = []
    carrier = TwilioRest(ACCOUNT, auth_token=TOKEN, open_http=lambda origin: rest[0])
    async with asyncio.TaskGroup() as group:

        async def open_model(url: str, headers: Mapping[str, str]) -> TextSocket:
            ours, theirs = pipe()
            group.create_task(_serve(model, theirs, headers))
            return ours

        app = create_app(
            Settings.model_validate(values | settings), file, store=store, open_socket=open_model, carrier=carrier
        )
        host = AsgiHost(app)
        async with host.http() as http:
            network = TwilioNetwork(ACCOUNT, TOKEN, http, host.connect, parties=people, faults=faults, seed=7)
            # The API outlives the gateway, whose last requests are at its end.
            api = SimulatedRest(network)
            async with AsgiHost(api.app) as api_host, api_host.http() as api_http, host:
                rest.append(Rest(api_http))
                yield Stage(app.state.gateway, network, model, store, host, http, rest[0], api)


async def _serve(model: ModelServer, socket: TextSocket, headers: Mapping[str, str]) -> None:
    try:
        await model.serve_socket(socket, {"model": "gpt-realtime"}, headers)
    except ModelError:
        raise AssertionError("the simulated model refused the session") from None
