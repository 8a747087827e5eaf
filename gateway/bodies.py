"""Reads the body of a request from outside, bounded in size and in time."""

import asyncio

from starlette.requests import ClientDisconnect, Request

from gateway.errors import GatewayError

__all__ = ["BodyRefused", "read_body"]


class BodyRefused(GatewayError):
    """The body is not taken; `status` and `code` say why."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


async def read_body(request: Request, most_bytes: int, within_s: float) -> bytes:
    """Return the body. Raises `BodyRefused`: 413 too_large, 408 timeout, 400 incomplete."""
    too_large = BodyRefused(413, "too_large", f"the body may have {most_bytes} bytes")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and (len(announced) > 18 or int(announced) > most_bytes):
        raise too_large
    received = bytearray()
    try:
        async with asyncio.timeout(within_s):
            async for chunk in request.stream():
                received += chunk
                if len(received) > most_bytes:
                    raise too_large
    except ClientDisconnect:
        raise BodyRefused(400, "incomplete", "the body ended early") from None
    except TimeoutError:
        raise BodyRefused(408, "timeout", f"the body did not arrive within {within_s:.0f} s") from None
    return bytes(received)
