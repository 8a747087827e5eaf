"""The sample business: it believes nobody without a signature."""

import asyncio
import base64
import json
from datetime import UTC, datetime

import httpx2
import pytest
from standardwebhooks import Webhook

from gateway.demo.business import Business, WebhookCall
from gateway.demo.story import ORDER, STATUS

SECRET = "whsec_" + base64.b64encode(b"0" * 32).decode()


def asked(order_id: str, *, secret: str = SECRET) -> tuple[int, object, list[WebhookCall]]:
    body = json.dumps({"data": {"arguments": {"order_id": order_id}}})
    now = datetime.now(UTC)
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign("msg_1", now, body),
    }
    business = Business(SECRET)

    async def ask() -> httpx2.Response:
        transport = httpx2.ASGITransport(app=business.app())
        async with httpx2.AsyncClient(transport=transport, base_url="http://business") as http:
            return await http.post("/orders", content=body, headers=headers)

    answer = asyncio.run(ask())
    return answer.status_code, answer.json(), business.log


def test_a_signed_question_is_answered_and_logged() -> None:
    status, answer, log = asked(ORDER)
    assert status == 200
    assert answer == {"result": {"order_id": ORDER, "status": STATUS, "expected_arrival": "tomorrow"}}
    assert log == [WebhookCall(ORDER, True, STATUS)]


def test_an_unknown_order_is_an_error_the_model_can_tell() -> None:
    status, _, log = asked("999")
    assert status == 404
    assert log == [WebhookCall("999", True, "")]


@pytest.mark.parametrize("secret", ["whsec_" + base64.b64encode(b"1" * 32).decode()])
def test_a_wrong_signature_is_refused_and_logged(secret: str) -> None:
    status, _, log = asked(ORDER, secret=secret)
    assert status == 401
    assert log == [WebhookCall("", False, "")]
