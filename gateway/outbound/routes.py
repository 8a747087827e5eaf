"""`POST /v1/calls` and `GET /v1/calls/{attempt_id}`: place calls over HTTP.

Every answer that is not 2xx is `{"error": {"code", "message", ...}}`:

    401 no valid key            409 the key was used for another request
    413 body over 16 KiB        422 not the JSON that we take
    403 the policy says no      429 too many calls wait (with `Retry-After`)
        (`rule` names why)      502 the carrier refused, 503 the store does not answer

An attempt in state `unknown` is answered 202: it may be ringing, and a client that took it for a failure would
call twice.
"""

import asyncio
import hmac
import logging
from collections.abc import Mapping, Sequence
from math import ceil
from typing import Annotated

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import ClientDisconnect

from gateway.apikeys import hash_key
from gateway.errors import GatewayError, PolicyError
from gateway.outbound.attempts import Attempt, AttemptState
from gateway.outbound.dialler import DialConflict, Dialler, DialRequest
from gateway.outbound.pace import PaceFull
from gateway.outbound.policy import mask

__all__ = ["CallRequest", "hash_key", "router"]

BODY_BYTES_MAX = 16 * 1024
BODY_TIMEOUT_S = 5.0
IDEMPOTENCY_KEY_MAX = 128
FAULTS = {
    "json_invalid": "is not valid JSON",
    "missing": "is missing",
    "extra_forbidden": "is not known",
    "string_type": "must be text",
    "model_type": "must be a JSON object",
    "dict_type": "must be a JSON object",
}
"""What pydantic's errors mean to who sent the body."""

_logger = logging.getLogger(__name__)

_Number = Annotated[str, StringConstraints(min_length=1, max_length=32)]
_MetadataKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
_MetadataValue = Annotated[str, StringConstraints(max_length=512)]


class CallRequest(BaseModel):
    """The body of `POST /v1/calls`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    to: _Number
    """E.164."""
    agent: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    from_: Annotated[str, StringConstraints(pattern=r"^\+[1-9][0-9]{6,14}$")] | None = Field(default=None, alias="from")
    """One of your numbers at the carrier; the agent's own when left out."""
    zone: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = None
    """The callee's IANA time zone, when you know it."""
    metadata: dict[_MetadataKey, _MetadataValue] = Field(default_factory=dict, max_length=16)


class _Refused(Exception):
    def __init__(self, status: int, code: str, message: str, **more: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"code": code, "message": message, **more}}


def router(dialler: Dialler, api_keys: Sequence[str], agents: Mapping[str, str | None]) -> APIRouter:
    """Return the routes.

    `api_keys` are hashes (`hash_key`); none means that every request is refused. `agents` maps the names that may
    call to the number each calls from, or None when the request has to say.
    """
    routes = APIRouter(prefix="/v1/calls")

    @routes.post("", status_code=202)
    async def place_call(request: Request) -> JSONResponse:
        try:
            key = _authorised(request, api_keys)
            wanted = _dial_request(await _body(request), agents, _idempotency_key(request, key))
            return _answer(await _dial(dialler, wanted))
        except PaceFull as error:
            refused = _Refused(429, "busy", str(error))
            return JSONResponse(refused.body, 429, headers={"Retry-After": str(ceil(error.retry_after_s) or 1)})
        except _Refused as error:
            return JSONResponse(error.body, error.status, headers=_challenge(error.status))

    @routes.get("/{attempt_id}")
    async def show_call(attempt_id: str, request: Request) -> JSONResponse:
        try:
            _authorised(request, api_keys)
            return JSONResponse(_shown(await _find(dialler, attempt_id)))
        except _Refused as error:
            return JSONResponse(error.body, error.status, headers=_challenge(error.status))

    return routes


async def _dial(dialler: Dialler, wanted: DialRequest) -> Attempt:
    try:
        return await dialler.dial(wanted)
    except PolicyError as error:
        _logger.info("outbound call refused: %s", error.rule)
        raise _Refused(403, "policy", str(error), rule=error.rule) from error
    except DialConflict as error:
        raise _Refused(409, "conflict", str(error)) from error
    except PaceFull:
        raise
    except GatewayError as error:  # the store: the intent could not be committed, so nothing was sent
        _logger.error("outbound call not placed: %s", error)
        raise _Refused(503, "unavailable", "the call could not be recorded and was not placed") from error


async def _find(dialler: Dialler, attempt_id: str) -> Attempt:
    try:
        attempt = await dialler.find(attempt_id) if len(attempt_id) <= 64 else None
    except GatewayError as error:
        raise _Refused(503, "unavailable", "the store does not answer") from error
    if attempt is None:
        raise _Refused(404, "not_found", "no such call")
    return attempt


def _authorised(request: Request, api_keys: Sequence[str]) -> str:
    """Return the hash of the key that was presented; every configured hash is compared, in constant time."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    presented = hash_key(key.strip())
    matches = [hmac.compare_digest(presented.encode(), known.lower().encode()) for known in api_keys]
    if scheme.lower() != "bearer" or not any(matches):
        raise _Refused(401, "unauthorized", "send Authorization: Bearer and a valid API key")
    return presented


def _challenge(status: int) -> dict[str, str] | None:
    return {"WWW-Authenticate": "Bearer"} if status == 401 else None


async def _body(request: Request) -> CallRequest:
    received = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in request.stream():
                received += chunk
                if len(received) > BODY_BYTES_MAX:
                    raise _Refused(413, "too_large", f"the body may have {BODY_BYTES_MAX} bytes")
    except ClientDisconnect as error:
        raise _Refused(400, "incomplete", "the body ended early") from error
    except TimeoutError as error:
        raise _Refused(408, "timeout", f"the body did not arrive within {BODY_TIMEOUT_S:.0f} s") from error
    try:
        return CallRequest.model_validate_json(bytes(received))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])[:80] or "body"
        raise _Refused(422, "invalid", f"{where}: {_words(first)}") from error


def _words(first: ErrorDetails) -> str:
    """Return what is wrong with a part of the body in JSON's terms; pydantic speaks of Python's."""
    context = first.get("ctx", {})
    match first["type"], first["loc"]:
        case "string_too_short", _:
            return "must not be empty"
        case "string_too_long", _:
            return f"may have {context['max_length']} characters"
        case "too_long", _:
            return f"may have {context['max_length']} entries"
        case "string_pattern_mismatch", ("from",):
            return "must be a whole number with its country code, such as +14155550123"
        case "string_pattern_mismatch", _:
            return "a name may have 64 letters, digits, dots, dashes and underscores"
        case kind, _:
            return FAULTS.get(kind, "is not what is expected here")


def _idempotency_key(request: Request, key_hash: str) -> str | None:
    """Return the client's key, made unique to its API key."""
    given = request.headers.get("idempotency-key")
    if given is None:
        return None
    if not 1 <= len(given) <= IDEMPOTENCY_KEY_MAX:
        raise _Refused(422, "invalid", f"Idempotency-Key: 1 to {IDEMPOTENCY_KEY_MAX} characters")
    return f"{key_hash}:{given}"


def _dial_request(body: CallRequest, agents: Mapping[str, str | None], idempotency_key: str | None) -> DialRequest:
    if body.agent not in agents:
        raise _Refused(422, "invalid", "agent: no agent of this name places calls")
    from_ = body.from_ or agents[body.agent]
    if from_ is None:
        raise _Refused(422, "invalid", "from: this agent has no number of its own, so say which to call from")
    return DialRequest(
        to=body.to,
        agent=body.agent,
        from_=from_,
        zone=body.zone,
        metadata=body.metadata,
        idempotency_key=idempotency_key,
    )


def _answer(attempt: Attempt) -> JSONResponse:
    if attempt.state is AttemptState.FAILED and attempt.carrier_call_id is None:
        refused = _Refused(502, "carrier", attempt.reason or "the carrier refused", attempt_id=attempt.attempt_id)
        return JSONResponse(refused.body, 502)
    return JSONResponse(_shown(attempt), 202, headers={"Location": f"/v1/calls/{attempt.attempt_id}"})


def _shown(attempt: Attempt) -> dict[str, str | None]:
    return {
        "attempt_id": attempt.attempt_id,
        "call_sid": attempt.carrier_call_id,
        "state": attempt.state.value,
        "reason": attempt.reason,
        "agent": attempt.agent,
        "to": mask(attempt.to),
        "created_at": attempt.created_at.isoformat(),
    }
