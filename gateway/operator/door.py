"""The way in for operators: an API key, a bounded JSON body, and a sentence for each mistake.

Nothing of a request's body is read before its key is known, and no value of it is ever said back.
"""

from collections.abc import Mapping
from typing import TypeVar

from fastapi import Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ValidationError

from gateway.apikeys import KeyRing
from gateway.bodies import BodyRefused, read_body
from gateway.operator.faults import faults_of

__all__ = ["BODY_BYTES_MAX", "BODY_TIMEOUT_S", "NODE_HEADER", "Door", "Refused"]

BODY_BYTES_MAX = 128 * 1024
"""Room for the longest text with every character escaped."""
BODY_TIMEOUT_S = 5.0
NODE_HEADER = "X-Gateway-Node"

M = TypeVar("M", bound=BaseModel)


class Refused(Exception):
    """An answer that is not 200."""

    def __init__(self, status: int, code: str, message: str, fields: list[dict[str, str]] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body: dict[str, object] = {"code": code, "message": message}
        if fields:
            self.body["fields"] = fields


class Door:
    """Lets holders of a key in, and reads and writes what they say and hear."""

    def __init__(self, keys: KeyRing, node: str) -> None:
        self.node = node
        self._keys = keys

    def enter(self, request: Request) -> str:
        """Return the name of the key that the request bears. Raises `Refused`."""
        who = self._keys.name_of(request.headers.get("authorization", ""))
        if who is None:
            raise Refused(401, "unauthorized", "send Authorization: Bearer and a valid API key")
        wanted = request.headers.get(NODE_HEADER, self.node)
        if wanted != self.node:
            raise Refused(421, "misdirected", f"this node is {self.node}, and the request is for another")
        return who

    async def read(self, request: Request, form: type[M], variants: frozenset[str] = frozenset()) -> M:
        """Return the body as what it should be. Raises `Refused`; call `enter` first.

        `variants` are names of union members: they stand in the paths of pydantic's errors and mean nothing outside.
        """
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise Refused(415, "media_type", "send JSON with Content-Type: application/json")
        try:
            raw = await read_body(request, BODY_BYTES_MAX, BODY_TIMEOUT_S)
        except BodyRefused as refused:
            raise Refused(refused.status, refused.code, str(refused)) from None
        try:
            return form.model_validate_json(raw)
        except ValidationError as error:
            raise _malformed(error, variants) from None

    def answer(self, body: Mapping[str, object], status: int = 200) -> JSONResponse:
        """Return an answer for somebody who was let in."""
        return JSONResponse(dict(body), status, headers={"Cache-Control": "no-store", NODE_HEADER: self.node})

    def refuse(self, refused: Refused) -> JSONResponse:
        """Return the answer for a request that is refused; a stranger learns nothing of the node."""
        body = {"error": refused.body}
        if refused.status == 401:
            return JSONResponse(body, 401, headers={"Cache-Control": "no-store", "WWW-Authenticate": "Bearer"})
        return self.answer(body, refused.status)


def _malformed(error: ValidationError, variants: frozenset[str]) -> Refused:
    faults = faults_of(error, variants)
    if faults is None:
        return Refused(400, "invalid", "the body is not valid JSON")
    fields = [{"field": field, "message": message} for field, message in faults.items()]
    return Refused(422, "invalid", "; ".join(f"{field} {message}" for field, message in faults.items()), fields)
