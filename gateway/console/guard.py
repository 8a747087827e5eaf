"""Which requests come from our own page, and whose they are.

The rule, in order:

1. The page's origin is the gateway's public origin. In development (that origin is loopback) every loopback origin is
   ours, whatever name it goes by, but then the `Host` must be loopback too: a name that somebody has pointed at
   127.0.0.1 (DNS rebinding) is not.
2. A request that changes something must bear our `Origin`; one that only reads may leave it out, as browsers do.
   `Sec-Fetch-Site`, where it is sent, must say that no other site asks.
3. Who asks is told by a cookie (`HttpOnly`, `SameSite=Strict`, over https `Secure` with the `__Host-` prefix). It is
   given for one of the API keys of the deployment.
4. Without any API key, somebody on this machine is let in as "local": in development only, when the connection comes
   from loopback and no proxy has forwarded it. With one API key this is off.
"""

from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from gateway.apikeys import KeyRing
from gateway.config import is_loopback
from gateway.console.sessions import SESSION_S, Sessions

__all__ = ["LOCAL", "Guard", "Stranger"]

LOCAL = "local"
"""Name of who is let in without a key."""
READING = frozenset({"GET", "HEAD"})
FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
PLAIN_COOKIE = "gateway_console"
SECURE_COOKIE = "__Host-gateway_console"


class Stranger(Exception):
    """A request that is not let in: 401 asks for a key, 403 is final."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Guard:
    """Decides for each request."""

    def __init__(self, keys: KeyRing, public_url: str, sessions: Sessions) -> None:
        self._keys = keys
        self._origin = public_url
        self._development = is_loopback(urlsplit(public_url).hostname or "")
        self._sessions = sessions
        self._cookie = SECURE_COOKIE if public_url.startswith("https:") else PLAIN_COOKIE

    def same_site(self, request: Request) -> None:
        """Raises `Stranger` when another site's page is behind a request."""
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise Stranger(403, "cross_site", "this comes from another site")
        if self._development and not is_loopback(_host(request.headers.get("host", ""))):
            raise Stranger(403, "cross_site", "use http://127.0.0.1 or http://localhost")
        origin = request.headers.get("origin")
        if origin is None and request.method in READING:
            return
        if origin is None or not self._ours(origin, request):
            raise Stranger(403, "cross_site", "this comes from another site")

    def who(self, request: Request) -> str:
        """Return who asks. Raises `Stranger`; includes `same_site`."""
        self.same_site(request)
        who = self._sessions.who(request.cookies.get(self._cookie, ""))
        if who is None:
            raise Stranger(401, "unauthorized", "sign in first")
        return who

    def needs_key(self, request: Request) -> bool:
        """Tell whether who asks must show a key."""
        return bool(self._keys.keys) or not self._development or not _from_here(request)

    def sign_in(self, request: Request, key: str) -> tuple[str, str]:
        """Return who has signed in, and the token for `remember`. Raises `Stranger`."""
        self.same_site(request)
        who = self._keys.name_of(f"Bearer {key}") if self.needs_key(request) else LOCAL
        if who is None:
            raise Stranger(401, "unauthorized", "this is none of the gateway's API keys")
        return who, self._sessions.begin(who)

    def remember(self, response: Response, token: str) -> None:
        secure = self._cookie == SECURE_COOKIE
        response.set_cookie(
            self._cookie, token, max_age=int(SESSION_S), path="/", secure=secure, httponly=True, samesite="strict"
        )

    def sign_out(self, request: Request, response: Response) -> None:
        self._sessions.end(request.cookies.get(self._cookie, ""))
        response.delete_cookie(
            self._cookie, path="/", secure=self._cookie == SECURE_COOKIE, httponly=True, samesite="strict"
        )

    def _ours(self, origin: str, request: Request) -> bool:
        if not self._development:
            return origin == self._origin
        scheme, _, host = origin.partition("://")
        return scheme in ("http", "https") and host == request.headers.get("host", "")


def _host(header: str) -> str:
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""


def _from_here(request: Request) -> bool:
    proxied = any(name in request.headers for name in FORWARDED)
    return not proxied and request.client is not None and is_loopback(request.client.host)
