"""What to set on both sides for a simulated call, and what it means when the gateway refuses one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["ELSEWHERE_PORT", "SIDES", "Sides", "port_of", "refused_by_gateway", "refused_by_rest"]

ELSEWHERE_PORT = 8082
"""Where REST is served for a carrier without a port of its own below."""


@dataclass(slots=True, frozen=True)
class Sides:
    """Settings that the gateway and the simulator must share, by their variables."""

    opened_by: str
    """Opens the gateway's door, and is what requests are signed with."""
    rest_key: str = ""
    """What the gateway shows the REST API."""
    rest_needs: Sequence[str] = ()
    """Without these the gateway asks nothing of the REST API, its origin aside."""
    port: int = ELSEWHERE_PORT
    """Of the REST API: one for each carrier, so that a gateway may ask several."""


SIDES: Mapping[str, Sides] = MappingProxyType(
    {
        "telnyx": Sides("GATEWAY_TELNYX_PUBLIC_KEY", "GATEWAY_TELNYX_API_KEY", ["GATEWAY_TELNYX_API_KEY"]),
        "signalwire": Sides(
            "GATEWAY_SIGNALWIRE_SIGNING_KEY",
            "GATEWAY_SIGNALWIRE_API_TOKEN",
            ["GATEWAY_SIGNALWIRE_PROJECT_ID", "GATEWAY_SIGNALWIRE_API_TOKEN"],
            8083,
        ),
        "plivo": Sides("GATEWAY_PLIVO_AUTH_TOKEN", "GATEWAY_PLIVO_AUTH_ID", ["GATEWAY_PLIVO_AUTH_ID"], 8084),
        "vonage": Sides(
            "GATEWAY_VONAGE_SIGNATURE_SECRET",
            "GATEWAY_VONAGE_PRIVATE_KEY",
            ["GATEWAY_VONAGE_APPLICATION_ID", "GATEWAY_VONAGE_PRIVATE_KEY"],
            8085,
        ),
        "jambonz": Sides(
            "GATEWAY_JAMBONZ_WEBHOOK_SECRET",
            "GATEWAY_JAMBONZ_API_KEY",
            ["GATEWAY_JAMBONZ_ACCOUNT_SID", "GATEWAY_JAMBONZ_API_KEY"],
            8086,
        ),
        "genesys": Sides("GATEWAY_GENESYS_API_KEY and GATEWAY_GENESYS_CLIENT_SECRET"),
    }
)


def port_of(carrier: str) -> int:
    """Return where the carrier's REST API is served unless somebody says otherwise."""
    return SIDES[carrier].port if carrier in SIDES else ELSEWHERE_PORT


def refused_by_gateway(carrier: str, status: int) -> str | None:
    """Say what it means that the gateway's door was answered `status`; None: nothing that is known."""
    sides = SIDES.get(carrier)
    if sides is None:
        return None
    match status:
        case 404:
            return f"HTTP 404: the gateway has no /{carrier}: is {sides.opened_by} set there?"
        case 401 | 403:
            return (
                f"HTTP {status}: the gateway refuses the signature: both sides need the same secret "
                f"({sides.opened_by}) and the same GATEWAY_PUBLIC_URL"
            )
        case _:
            return None


def refused_by_rest(carrier: str, action: str, status: int) -> str | None:
    """Say what it means that the carrier's REST API has answered `status`; None: nothing that is known."""
    sides = SIDES.get(carrier)
    if sides is None or status not in (401, 403):
        return None
    return f"{action}: HTTP {status}: the gateway's {sides.rest_key} is not the simulator's"
