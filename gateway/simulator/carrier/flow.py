"""Follows TwiML, verb by verb (Twilio, TwiML for Programmable Voice).

A verb ends in one of three ways: the next verb runs (None), another document takes over, or the call ends.
`<Connect>` blocks until its socket closes; then `action` is fetched when it has one, else the next verb runs, else
the call ends (Twilio, TwiML `<Connect>`, *action*).
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias, assert_never

from gateway.simulator.carrier import twiml
from gateway.simulator.carrier.conference import UNFETCHED_PLAY_S
from gateway.simulator.carrier.dial import Dialler
from gateway.simulator.carrier.facts import CallFacts
from gateway.simulator.carrier.leg import Leg
from gateway.simulator.carrier.plan import DialOutcome
from gateway.simulator.carrier.report import CallReport, Event
from gateway.simulator.carrier.streams import StreamOpener
from gateway.simulator.carrier.webhooks import WebhookFailed, Webhooks

__all__ = ["APOLOGY", "End", "Fetcher", "Flow", "Next"]

APOLOGY = "We are sorry, an application error has occurred. Goodbye."
MAX_DOCUMENTS = 100
KEY_S = 0.2
_WAITS_S: Mapping[str, float] = {"w": 0.5, "W": 1.0}
"""Half a second and a second of silence among the digits of `<Play>`."""


@dataclass(slots=True, frozen=True)
class End:
    """The call is over."""

    by: str


Next: TypeAlias = twiml.Document | End | None


class Fetcher:
    """Gets TwiML documents, with the fallback URL."""

    def __init__(self, webhooks: Webhooks, facts: CallFacts, report: CallReport, fallback_url: str | None) -> None:
        self._webhooks = webhooks
        self._facts = facts
        self._report = report
        self._fallback_url = fallback_url
        self._fetched = 0

    async def fetch(self, at_s: float, url: str, method: str = "POST", **fields: str) -> twiml.Document | End:
        """Return the document at `url`, else the fallback's, else an apology that ends the call."""
        self._fetched += 1
        if self._fetched > MAX_DOCUMENTS:
            return End("redirect_limit")
        try:
            return await self._one(at_s, url, method, self._facts.form(**fields))
        except (WebhookFailed, twiml.TwimlError) as error:
            self._report.warn(at_s, error.code, str(error))
            failed = {"ErrorCode": str(error.code), "ErrorUrl": url, **fields}
        if self._fallback_url:
            try:
                return await self._one(at_s, self._fallback_url, "POST", self._facts.form(**failed))
            except (WebhookFailed, twiml.TwimlError) as error:
                self._report.warn(at_s, error.code, str(error))
        return End("application_error")

    def inline(self, text: str) -> twiml.Document | End:
        """Return the document given as text by REST."""
        try:
            return twiml.parse_twiml(text.encode())
        except twiml.TwimlError as error:
            self._report.warn(0.0, error.code, str(error))
            return End("application_error")

    async def _one(self, at_s: float, url: str, method: str, form: Mapping[str, str]) -> twiml.Document:
        loop, result = asyncio.get_running_loop(), "cancelled"
        began = loop.time()
        try:
            reply = await self._webhooks.send(url, form, method)
            result = str(reply.status)
        except WebhookFailed as error:
            result = str(error)
            raise
        finally:
            took_ms = round((loop.time() - began) * 1000)
            self._report.webhooks.append(Event(at_s, "twiml", f"{result}, {took_ms} ms"))
        kind = reply.content_type.partition(";")[0].strip().lower()
        if reply.status == 204:
            return twiml.Document((), url)
        if kind == "text/plain":
            return twiml.Document([twiml.Say(reply.body[: twiml.MAX_BYTES].decode("utf-8", "replace"))], url)
        if kind not in ("text/xml", "application/xml", "text/html"):
            raise twiml.TwimlError(12300, f"content type {kind[:60] or 'missing'} is not TwiML")
        return twiml.parse_twiml(reply.body, url)


class Flow:
    """Carries out documents on a line; `perform()` one after the other."""

    def __init__(self, leg: Leg, fetcher: Fetcher, streams: StreamOpener, dials: Sequence[DialOutcome]) -> None:
        self._line = leg.line
        self._report = leg.report
        self._fetcher = fetcher
        self._streams = streams
        self._dialler = Dialler(leg, dials)

    async def perform(self, document: twiml.Document) -> twiml.Document | End:
        """Run the verbs of a document; return what comes after it."""
        for verb in document.verbs:
            self._report.verbs.append(Event(self._line.clock(), type(verb).__name__, _detail(verb)))
            if (then := await self._verb(verb)) is not None:
                return then
        return End("end_of_twiml")

    async def apologise(self) -> None:
        """Say what Twilio says when the application fails."""
        await self._line.announce(APOLOGY)

    async def _verb(self, verb: twiml.Verb) -> Next:  # noqa: PLR0911, C901 - one return a verb
        match verb:
            case twiml.Say():
                await self._line.announce(verb.text)
            case twiml.Pause():
                await asyncio.sleep(verb.seconds)
            case twiml.Play():
                await self._play(verb)
            case twiml.Hangup():
                return End("twiml")
            case twiml.Reject():
                return End("reject")
            case twiml.Redirect():
                return await self._fetch(verb.url, verb.method)
            case twiml.Dial():
                return await self._dial(verb)
            case twiml.Connect():
                return await self._connect(verb)
            case twiml.Gather():
                return await self._gather(verb)
            case twiml.Unknown():
                self._report.warn(self._line.clock(), 12200, f"<{verb.tag}> is not known here and was skipped")
            case _:
                assert_never(verb)
        return None

    async def _fetch(self, url: str, method: str, **fields: str) -> twiml.Document | End:
        return await self._fetcher.fetch(self._line.clock(), url, method, **fields)

    async def _play(self, verb: twiml.Play) -> None:
        try:
            if not verb.digits:
                self._line.hear("play")
                await asyncio.sleep(UNFETCHED_PLAY_S)
            for key in verb.digits:
                if key not in _WAITS_S:
                    self._line.hear("play")
                    self._report.keys_heard.append(Event(self._line.clock(), key))
                await asyncio.sleep(_WAITS_S.get(key, KEY_S))
                self._line.hear("")
        finally:
            self._line.hear("")

    async def _connect(self, verb: twiml.Connect) -> Next:
        await self._streams.run(verb.stream)
        return await self._fetch(verb.action, verb.method) if verb.action else None

    async def _dial(self, verb: twiml.Dial) -> Next:
        fields = await self._dialler.dial(verb)
        self._report.verbs.append(Event(self._line.clock(), "DialEnded", fields["DialCallStatus"]))
        return await self._fetch(verb.action, verb.method, **fields) if verb.action else None

    async def _gather(self, verb: twiml.Gather) -> Next:
        keys: asyncio.Queue[str] = asyncio.Queue()
        try:
            await self._prompt(verb, keys)
            digits = await _collect(verb, keys)
        finally:
            self._line.pressed = None
        return await self._fetch(verb.action, verb.method, Digits=digits) if digits else None

    async def _prompt(self, verb: twiml.Gather, keys: "asyncio.Queue[str]") -> None:
        """Say the prompts; any key stops them."""

        async def prompts() -> None:
            for prompt in verb.prompts:
                await self._verb(prompt)

        async with asyncio.TaskGroup() as group:
            speaking = group.create_task(prompts())

            def press(digit: str) -> None:
                keys.put_nowait(digit)
                speaking.cancel()

            self._line.pressed = press


async def _collect(verb: twiml.Gather, keys: "asyncio.Queue[str]") -> str:
    digits = ""
    while verb.num_digits is None or len(digits) < verb.num_digits:
        try:
            async with asyncio.timeout(verb.timeout_s):
                key = await keys.get()
        except TimeoutError:
            break
        if key == verb.finish_on_key:
            break
        digits += key
    return digits


def _detail(verb: twiml.Verb) -> str:
    """Name what a verb does, without numbers or secrets."""
    match verb:
        case twiml.Play():
            return f"digits {verb.digits}" if verb.digits else verb.url
        case twiml.Connect():
            return verb.stream.url
        case twiml.Redirect():
            return verb.url
        case twiml.Reject():
            return verb.reason
        case twiml.Unknown():
            return verb.tag
        case _:
            return ""
