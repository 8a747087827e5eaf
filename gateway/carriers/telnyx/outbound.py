"""Places calls by Telnyx: what the dialler needs of a carrier (`gateway.outbound.dialler.OutboundCarrier`).

Telnyx has no webhook for each call: its events go to the connection's. So the id of the attempt, which the dialler puts
into both URLs, is read out of them and travels in `client_state`; `routes.py` finds it there in every event.
"""

from urllib.parse import parse_qs, urlsplit

from gateway.carriers.telnyx.events import pack
from gateway.carriers.telnyx.rest import TelnyxRest

__all__ = ["TelnyxOutbound"]

LEAST_RING_S, LONGEST_RING_S = 5, 600


class TelnyxOutbound:
    """One connection (voice app) of an account. The stream is asked for once the call is answered."""

    def __init__(self, rest: TelnyxRest, connection_id: str) -> None:
        self._rest = rest
        self._connection_id = connection_id

    async def create_call(self, to: str, from_: str, url: str, status_callback: str, *, timeout_s: int) -> str:
        """Ring `to`; return the id of the call. Raises `CarrierError`, see `rest.py`.

        Of the URLs only the parameter `attempt` counts.
        """
        (attempt_id,) = parse_qs(urlsplit(url).query)["attempt"]
        return await self._rest.dial(
            connection_id=self._connection_id,
            to=to,
            **{"from": from_},
            timeout_secs=min(max(timeout_s, LEAST_RING_S), LONGEST_RING_S),
            client_state=pack(attempt=attempt_id),
        )

    async def close(self) -> None:
        """Close the connections; safe to call twice."""
        await self._rest.close()
