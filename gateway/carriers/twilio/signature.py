"""Whether a request really comes from Twilio.

The URL that was signed is the configured public origin and the raw path and query as received, never `Host` or
`X-Forwarded-*`, which anyone can send. A media socket's upgrade is signed too, over its `wss` URL without
parameters. The signature has no time in it: replays verify for ever, so whoever uses this must be idempotent.
Twilio page: "Webhooks Security".
"""

from collections.abc import Sequence

from starlette.datastructures import Headers, MultiDict
from twilio.request_validator import RequestValidator

__all__ = ["SignatureCheck"]

SIGNATURE_HEADER = "x-twilio-signature"
MAX_SIGNATURE = 200


class SignatureCheck:
    """Checks against every token given, so that a token can be rotated. No token: nothing passes but `unsigned`."""

    def __init__(self, tokens: Sequence[str], public_url: str, *, allow_unsigned: bool = False) -> None:
        self._validators = [RequestValidator(token) for token in tokens]
        self._origin = public_url.rstrip("/")
        self._allow_unsigned = allow_unsigned

    def webhook(self, raw_path: str, body: bytes, form: MultiDict, headers: Headers) -> bool:
        """See `Signatures.webhook`. The form is signed, not the bytes that it came as."""
        return self._check([self._origin + raw_path], form, headers.get(SIGNATURE_HEADER))

    def upgrade(self, raw_path: str, headers: Headers) -> bool:
        """See `Signatures.upgrade`."""
        url = "ws" + self._origin.removeprefix("http") + raw_path
        return self._check([url, url + "/", url.rstrip("/")], MultiDict(), headers.get(SIGNATURE_HEADER))

    def _check(self, urls: list[str], form: MultiDict, signature: str | None) -> bool:
        if self._allow_unsigned and signature is None:
            return True
        if signature is None or not signature.isascii() or len(signature) > MAX_SIGNATURE:
            return False
        return any(validator.validate(url, form, signature) for validator in self._validators for url in urls)
