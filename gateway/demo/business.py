"""A sample business: one signed webhook that knows one order. A real one looks much the same."""

import asyncio
from dataclasses import dataclass, field

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from standardwebhooks import Webhook, WebhookVerificationError

from gateway.demo.story import ORDER, STATUS

__all__ = ["Business", "WebhookCall"]

LOOK_UP_S = 0.35
"""What a look-up takes: long enough to be seen in the picture of the call."""


@dataclass(frozen=True, slots=True)
class WebhookCall:
    """One request, as the business's own log has it."""

    order_id: str
    valid: bool
    """Whether the signature was right."""
    status: str
    """What was answered; empty when nothing was."""


@dataclass(slots=True)
class Business:
    """The shop. `secret` is shared with the gateway (`GATEWAY_WEBHOOK_SECRET`)."""

    secret: str
    log: list[WebhookCall] = field(default_factory=list)

    def app(self) -> FastAPI:
        """Return the web application with its one route, POST /orders."""
        app = FastAPI(docs_url=None, redoc_url=None)

        @app.post("/orders")
        async def orders(request: Request) -> Response:
            return await self._orders(request)

        return app

    async def _orders(self, request: Request) -> Response:
        body = await request.body()
        try:
            call = Webhook(self.secret).verify(body, dict(request.headers))
        except WebhookVerificationError:
            self.log.append(WebhookCall("", False, ""))
            return JSONResponse({"error": {"message": "the signature is wrong"}}, 401)
        order_id = str(call["data"]["arguments"]["order_id"])
        await asyncio.sleep(LOOK_UP_S)
        if order_id != ORDER:
            self.log.append(WebhookCall(order_id, True, ""))
            return JSONResponse({"error": {"message": "There is no order with this number"}}, 404)
        self.log.append(WebhookCall(order_id, True, STATUS))
        return JSONResponse({"result": {"order_id": order_id, "status": STATUS, "expected_arrival": "tomorrow"}})
