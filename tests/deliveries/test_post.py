"""One attempt: what is signed with which keys, and what never leaves."""

import asyncio
from dataclasses import asdict

import httpx2
import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook

from gateway.deliveries.post import ATTEMPT_S, SignedPost, Verdict
from gateway.store.rows import StoredDelivery
from gateway.tools.netguard import NetGuard
from gateway.tools.sender import Outgoing
from tests.clock import run
from tests.deliveries.outbox import NOON, delivery

OLD, NEW = "whsec_" + "b2xk" * 8, "whsec_" + "bmV3" * 8


def stored(body: str = "{}", secret: str | None = None) -> StoredDelivery:
    row = asdict(delivery(1, body=body)) | {"secret": secret}
    return StoredDelivery(**row, state="waiting", attempts=0, detail=None, updated_at=NOON, owner="n/1")


class Business(httpx2.AsyncBaseTransport):
    """Keeps what comes, and answers after a while."""

    def __init__(self, takes_s: float = 0.0) -> None:
        self.requests: list[httpx2.Request] = []
        self._takes_s = takes_s

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        await request.aread()
        self.requests.append(request)
        await asyncio.sleep(self._takes_s)
        return httpx2.Response(204, stream=httpx2.ByteStream(b""))


def attempt(row: StoredDelivery, secret: str | None, business: Business) -> tuple[Verdict, str, float]:
    async def main() -> tuple[Verdict, str, float]:
        async with Outgoing(NetGuard(), transport=business) as outgoing:
            post = SignedPost(outgoing, SecretStr(secret) if secret else None)
            outcome = await post.attempt(row)
            return outcome.verdict, outcome.detail, asyncio.get_running_loop().time()

    return run(main())


def test_while_a_secret_is_rotated_both_keys_sign() -> None:
    business = Business()
    assert attempt(stored('{"a":1}'), f"{NEW} {OLD}", business)[0] is Verdict.DELIVERED
    (request,) = business.requests
    for secret in (OLD, NEW):
        assert Webhook(secret).verify(request.content, dict(request.headers)) == {"a": 1}
    assert request.headers["webhook-id"] == "call_1:call_ended"


def test_an_agent_may_have_a_secret_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENTS_SECRET", NEW)
    business = Business()
    attempt(stored(secret="env:EVENTS_SECRET"), OLD, business)
    Webhook(NEW).verify(business.requests[0].content, dict(business.requests[0].headers))


@pytest.mark.parametrize(
    ("row", "secret", "verdict", "detail"),
    [
        (stored("half \ud800"), OLD, Verdict.HOPELESS, "not UTF-8"),
        (stored(), None, Verdict.FAILED, "no signing secret"),
        (stored(secret="env:NOT_SET_ANYWHERE"), OLD, Verdict.FAILED, "NOT_SET_ANYWHERE is not set"),
        (stored(secret="file:/nowhere/at/all"), OLD, Verdict.FAILED, "cannot be read"),
    ],
)
def test_what_cannot_be_signed_does_not_leave(
    row: StoredDelivery, secret: str | None, verdict: Verdict, detail: str
) -> None:
    business = Business()
    found, told, _ = attempt(row, secret, business)
    assert found is verdict and detail in told and business.requests == []


def test_an_attempt_takes_no_longer_than_it_may() -> None:
    verdict, detail, took_s = attempt(stored(), OLD, Business(takes_s=3600))
    assert verdict is Verdict.FAILED and "in time" in detail
    assert took_s == pytest.approx(ATTEMPT_S, abs=0.01)
