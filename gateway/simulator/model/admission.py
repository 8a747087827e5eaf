"""Who is let in, and how the others are turned away: at the HTTP upgrade, or after it with an error and a close.

Protocol notes §1: the service accepts the upgrade even with a bad key and then closes 3000; Azure answers 401.
"""

import hmac
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from http import HTTPStatus

from gateway.simulator.model.options import ModelOptions

__all__ = ["AZURE_PATH", "OPENAI_PATH", "Admission", "Rejection", "UpgradeRefused"]

OPENAI_PATH = "/v1/realtime"
AZURE_PATH = "/openai/v1/realtime"
BODIES = {
    401: '{"error":{"code":"401","message":"Access denied due to invalid subscription key."}}',
    404: '{"error":{"code":"not_found","message":"Not found."}}',
    429: '{"error":{"code":"rate_limit_exceeded","message":"Rate limit reached.","type":"requests"}}',
}
INTERNAL = '{"error":{"code":"server_error","message":"The server had an error.","type":"server_error"}}'


class UpgradeRefused(Exception):
    """The HTTP upgrade is answered with an error status instead of 101."""

    def __init__(self, status: int, body: str | None = None) -> None:
        super().__init__(f"upgrade refused with HTTP {status}")
        self.status = status
        self.body = body or BODIES.get(status, INTERNAL)


@dataclass(slots=True, frozen=True)
class Rejection:
    """The upgrade succeeds, then an `error` event and a close follow."""

    close_code: int
    code: str
    message: str

    @property
    def reason(self) -> str:
        return f"invalid_request_error.{self.code}"


class Admission:
    """Decides over connections; ordered failures come first, in the order they were asked for."""

    def __init__(self, options: ModelOptions) -> None:
        self._options = options
        self._refusals: deque[int] = deque()
        self._closes: deque[tuple[int, str]] = deque()
        if options.refuse_first is not None:
            self.refuse_next(*options.refuse_first)

    def refuse_next(self, status: int, times: int = 1) -> None:
        HTTPStatus(status)  # a wrong number is the caller's mistake, and shows here
        self._refusals.extend([status] * times)

    def close_next(self, code: int, times: int = 1, reason: str = "") -> None:
        self._closes.extend([(code, reason)] * times)

    def check_upgrade(
        self, path: str, query: Mapping[str, str], headers: Mapping[str, str], open_sessions: int
    ) -> None:
        """Raise `UpgradeRefused`, or let the upgrade happen. Call once a connection."""
        if path not in (OPENAI_PATH, AZURE_PATH):
            raise UpgradeRefused(404)
        if self._refusals:
            raise UpgradeRefused(self._refusals.popleft())
        if open_sessions >= self._options.max_sessions:
            raise UpgradeRefused(503)
        if query.get("call_id"):
            # Sideband sessions of SIP calls: no call ever exists here.
            raise UpgradeRefused(404, '{"error":{"code":"call_id_not_found","message":"No session found."}}')
        if path == AZURE_PATH and not self._key_fits(headers):
            raise UpgradeRefused(401)

    def ordered_close(self) -> tuple[int, str] | None:
        """Return (code, reason) when this connection is to be closed right after the upgrade."""
        return self._closes.popleft() if self._closes else None

    def reject(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Rejection | None:
        """Return why an upgraded connection is closed at once, or None."""
        if not self._key_fits(headers):
            return Rejection(3000, "invalid_api_key", "Incorrect API key provided.")
        if "realtime=v1" in headers.get("openai-beta", ""):
            message = "The Realtime Beta API is no longer supported. Please use /v1/realtime for the GA API."
            return Rejection(4000, "beta_api_shape_disabled", message)
        model = query.get("model", "")
        if not model:
            return Rejection(4000, "missing_model", "You must provide a model parameter.")
        known = path == AZURE_PATH or any(fnmatchcase(model, pattern) for pattern in self._options.models)
        if not known or len(model) > 128:
            message = f"Model '{model[:80]}' is not supported in realtime mode."
            return Rejection(4000, "invalid_model", message)
        return None

    def _key_fits(self, headers: Mapping[str, str]) -> bool:
        wanted = self._options.api_key
        if wanted is None:
            return True
        given = headers.get("api-key", "") or _bearer(headers)
        return hmac.compare_digest(given.encode(errors="replace"), wanted.encode())


def _bearer(headers: Mapping[str, str]) -> str:
    scheme, _, key = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return key.strip()
    offered = headers.get("sec-websocket-protocol", "").split(",")
    prefix = "openai-insecure-api-key."
    return next((name.strip().removeprefix(prefix) for name in offered if name.strip().startswith(prefix)), "")
