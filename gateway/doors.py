"""Opens the doors: which carriers this deployment has, by its settings, and what each is given.

A carrier's package is imported only where its first setting is there: nobody pays for a carrier they do not use.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol

import httpx2

from gateway.carriers.front import Carrier, Front
from gateway.carriers.twilio.control import TwilioControl
from gateway.carriers.twilio.dialect import TWILIO
from gateway.carriers.twilio.door import TwilioDoor
from gateway.carriers.twilio.rest import TwilioRest
from gateway.carriers.twilio.routes import router as twilio_router
from gateway.carriers.twilio.signature import SignatureCheck
from gateway.config import Settings
from gateway.errors import ConfigError
from gateway.outbound.dialler import OutboundCarrier

__all__ = ["DoorShut", "Outbound", "open_carriers", "open_outbound"]


class DoorShut(ConfigError):
    """A setting of a carrier is missing or wrong."""

    def __init__(self, door: str, message: str) -> None:
        super().__init__(message)
        self.door = door


def open_carriers(settings: Settings, front: Front, twilio: TwilioRest | None) -> Iterator[Carrier]:
    """Make every carrier's door. Twilio's is always there: without its token it refuses everybody.

    Each other package has one way in: `open_carrier(settings, front)`. Raises `DoorShut` when it misses a setting.
    """
    yield _twilio(settings, front, twilio)
    for name in settings.doors:
        try:
            carrier = import_module(f"gateway.carriers.{name}").open_carrier(settings, front)
        except ConfigError as error:
            raise DoorShut(name, str(error)) from None
        yield carrier


class PlacesCalls(OutboundCarrier, Protocol):
    """Such a carrier holds connections."""

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Outbound:
    """Who places our calls; one carrier of a deployment does."""

    name: str
    carrier: PlacesCalls


def open_outbound(
    settings: Settings, twilio: TwilioRest | None, transport: httpx2.AsyncBaseTransport | None
) -> Outbound | None:
    """Return Twilio where its REST credentials are there, else Telnyx where it has a connection; None: nobody."""
    if twilio is not None:
        return Outbound("twilio", twilio)
    if settings.telnyx_connection_id is None:
        return None
    from gateway.carriers import telnyx

    placing = telnyx.open_outbound(settings, transport)
    return Outbound("telnyx", placing) if placing is not None else None


def _twilio(settings: Settings, front: Front, rest: TwilioRest | None) -> Carrier:
    control = TwilioControl(rest, front.calls, settings.public_url, settings.twilio_from_number)
    tokens = [t.get_secret_value() for t in (settings.twilio_auth_token, settings.twilio_auth_token_secondary) if t]
    signatures = SignatureCheck(tokens, front.public_url, allow_unsigned=front.allow_unsigned)
    door = TwilioDoor(front, TWILIO, settings.twilio_account_sid, signatures, control)
    return Carrier("twilio", twilio_router(door), control, control.running)
