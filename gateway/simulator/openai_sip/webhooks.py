"""Sends `realtime.call.incoming`, signed as Standard Webhooks are (protocols §8.1)."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping

import httpx2

__all__ = ["incoming_body", "send", "signed"]

ANSWER_S = 10.0


def incoming_body(event_id: str, call_id: str, headers: list[dict[str, str]], created_at: int) -> bytes:
    """Return the body of the webhook."""
    data = {"call_id": call_id, "sip_headers": headers, "sip_media_security": "srtp"}
    event = {
        "id": event_id,
        "object": "event",
        "type": "realtime.call.incoming",
        "created_at": created_at,
        "data": data,
    }
    return json.dumps(event).encode()


def signed(body: bytes, secret: str, webhook_id: str, at_s: int | None = None) -> dict[str, str]:
    """Return the headers of a delivery; `at_s` is Unix time, now if not given."""
    timestamp = str(int(time.time()) if at_s is None else at_s)
    key = base64.b64decode(secret.removeprefix("whsec_")) if secret.startswith("whsec_") else secret.encode()
    digest = hmac.new(key, f"{webhook_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "content-type": "application/json",
        "user-agent": "OpenAI/1.0 (+https://platform.openai.com/docs/webhooks)",
        "webhook-id": webhook_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


async def send(http: httpx2.AsyncClient, url: str, body: bytes, headers: Mapping[str, str]) -> int:
    """Deliver once; return the HTTP status, 0 without an answer."""
    try:
        answer = await http.post(url, content=body, headers=dict(headers), timeout=ANSWER_S)
    except httpx2.HTTPError:
        return 0
    return answer.status_code
