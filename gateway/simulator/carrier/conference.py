"""What a conference sounds like before it starts, and what it tells the application (Twilio, TwiML `<Conference>`)."""

import asyncio
from collections.abc import Callable

from gateway.simulator.carrier import twiml
from gateway.simulator.carrier.courier import http_date
from gateway.simulator.carrier.leg import Leg
from gateway.simulator.carrier.room import Room
from gateway.simulator.carrier.webhooks import WebhookFailed

__all__ = ["UNFETCHED_PLAY_S", "music", "notices"]

UNFETCHED_PLAY_S = 2.0
"""How long a sound file lasts: it is not fetched."""
LEAST_ROUND_S = 0.5
"""A `waitUrl` whose document is done sooner is asked again only then."""


def notices(leg: Leg, conference: twiml.Conference, room: Room) -> Callable[[str], None]:
    """Return what posts this member's events, to the address that the first member gave (Twilio, *statusCallback*)."""
    if room.callback is None and conference.status_callback is not None:
        room.callback = (conference.status_callback, conference.status_events)

    def tell(event: str) -> None:
        room.sequence += 1
        # `start` asks for conference-start, `join` for participant-join.
        if room.callback is None or event.partition("-")[2] not in room.callback[1]:
            return
        form = {
            "AccountSid": leg.facts.account_sid,
            "ConferenceSid": room.sid,
            "FriendlyName": conference.name,
            "StatusCallbackEvent": event,
            "SequenceNumber": str(room.sequence),
            "Timestamp": http_date(leg.parts.wall()),
        }
        if event.startswith("participant"):
            form |= {"CallSid": leg.facts.call_sid, "Muted": "false", "Hold": "false", "Coaching": "false"}
            form |= {"StartConferenceOnEnter": _word(conference.starts), "EndConferenceOnExit": _word(conference.ends)}
        if event == "conference-end":
            form["CallSidEndingConference"] = leg.facts.call_sid
        leg.courier.post(room.callback[0], form)

    return tell


async def music(leg: Leg, conference: twiml.Conference) -> None:
    """Sound until cancelled: Twilio's music, silence, or over and over what `waitUrl` says."""
    if conference.wait_url is None:
        leg.line.hear("wait")
        return
    loop, url, method = asyncio.get_running_loop(), conference.wait_url, conference.wait_method
    while url:
        began = loop.time()
        document = await _document(leg, url, method)
        if document is None:
            return
        url, method = await _perform(leg, document) or (conference.wait_url, conference.wait_method)
        await asyncio.sleep(max(0.0, began + LEAST_ROUND_S - loop.time()))


async def _document(leg: Leg, url: str, method: str) -> twiml.Document | None:
    """Return what to play; None: it is a sound, which now plays, or nothing."""
    try:
        reply = await leg.parts.webhooks.send(url, leg.facts.form(), method)
        if reply.content_type.startswith("audio/"):
            leg.line.hear("wait")
            return None
        return twiml.parse_twiml(reply.body, url)
    except (WebhookFailed, twiml.TwimlError) as error:
        leg.report.warn(leg.line.clock(), error.code, f"waitUrl: {error}")
        return None


async def _perform(leg: Leg, document: twiml.Document) -> tuple[str, str] | None:
    """Play what may be played to those who wait (Twilio, *waitUrl*); return where a `<Redirect>` leads."""
    for verb in document.verbs:
        match verb:
            case twiml.Say():
                await leg.line.announce(verb.text)
            case twiml.Play():
                leg.line.hear("wait")
                await asyncio.sleep(UNFETCHED_PLAY_S)
                leg.line.hear("")
            case twiml.Pause():
                await asyncio.sleep(verb.seconds)
            case twiml.Redirect():
                return verb.url, verb.method
            case _:
                name = type(verb).__name__
                leg.report.warn(leg.line.clock(), 13233, f"<{name}> cannot be used in a waitUrl")
    return None


def _word(yes: bool) -> str:
    return "true" if yes else "false"
