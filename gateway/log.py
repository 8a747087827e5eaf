"""Log lines: one JSON object each, on standard error, with the call's id, without secrets and telephone numbers.

Code logs through the standard library (`logging.getLogger(__name__)`, `%s` arguments); structlog renders, for our
lines and for those of libraries alike. Redaction is the last step before rendering, so nothing gets past it: message,
values and tracebacks are all cleaned. It errs towards masking too much; records, not logs, hold the facts.
"""

import logging
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

__all__ = ["bind_call", "call_logger", "configure", "mask_number", "redact"]

MAX_TEXT_CHARS = 8000
"""Longest text in a line, tracebacks included; hostile input must not fill the disk."""
MAX_ITEMS = 100
MAX_DEPTH = 5
MIN_SECRET_CHARS = 6
"""Shorter values would blank ordinary words."""
REMOVED = "[removed]"

# At DEBUG these write headers with keys, whole media frames, request bodies, or rows with what was said.
QUIET_LOGGERS = (
    "aiosqlite",
    "sqlalchemy",
    "alembic",
    "psycopg",
    "httpcore2",
    "httpx2",
    "openai",
    "twilio",
    "websockets",
    "urllib3",
    "asyncio",
    "uvicorn.access",
)
FRAME_LOGGERS = ("uvicorn.error",)
"""uvicorn's media sockets write each frame to it at DEBUG; what it says of the server itself, at INFO, is wanted."""

SECRET_KEY = re.compile(
    r"(?i)(^|[_-])(secret|token|password|passwd|authorization|cookie|signature|credential|api[_-]?key)$"
)
SECRETS = (
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}"), rf"\1 {REMOVED}"),
    (re.compile(r"\b(sk|ek|rk)[-_][A-Za-z0-9_-]{6,}"), rf"\1-{REMOVED}"),
    (re.compile(r"\bwhsec_[A-Za-z0-9+/=_-]+"), f"whsec_{REMOVED}"),
    (re.compile(r"://[^\s/@:]*:[^\s/@]+@"), f"://{REMOVED}@"),
    (
        re.compile(
            r"(?i)((?:secret|token|password|passwd|signature|credential|api[_-]?key)[\"']?\s*[=:]\s*[\"']?)[^\s\"'&,;}]+"
        ),
        rf"\1{REMOVED}",
    ),
)
# International numbers with any usual separators (also URL-encoded), and bare runs as long as a number.
NUMBERS = (
    re.compile(r"(?:\+|%2[Bb])[1-9](?:[ .()/-]{0,2}[0-9]){6,14}(?![0-9])"),
    re.compile(r"\(?\b[2-9][0-9]{2}\)?[ .-][0-9]{3}[ .-][0-9]{4}\b"),
    re.compile(r"(?<![\w.+-])[1-9][0-9]{9,14}(?![\w.])"),
)


def configure(level: str = "INFO", *, secrets: Iterable[str] = (), stream: TextIO | None = None) -> None:
    """Send every log line of the process, as JSON, to `stream` (standard error). Call once at start.

    `secrets` are values to remove wherever they turn up (`Settings.secret_values()`): some have no shape to know
    them by.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_shared(),
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _Redactor(secrets),
                structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in FRAME_LOGGERS:
        logging.getLogger(name).setLevel(max(root.level, logging.INFO))
    structlog.configure(
        processors=[*_shared(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def call_logger(name: str, call_id: str) -> "logging.LoggerAdapter[logging.Logger]":
    """Return a logger whose lines carry this call's id, for callbacks that run outside the call's tasks."""
    return logging.LoggerAdapter(logging.getLogger(name), {"call_id": call_id})


@contextmanager
def bind_call(call_id: str) -> Iterator[None]:
    """Put this call's id on each line of this task, and of the tasks it starts, until the block ends."""
    with structlog.contextvars.bound_contextvars(call_id=call_id):
        yield


def mask_number(number: str) -> str:
    """Return a telephone number as it may be shown: "+1•••4567"."""
    digits = re.sub(r"[^0-9]", "", number.replace("%2B", "+").replace("%2b", "+"))
    if len(digits) < 7:
        return "•••"
    # The whole country code where it is one digit; else two digits, which name a region at least.
    return f"+{digits[: 1 if digits[0] in '17' else 2]}•••{digits[-4:]}"


def redact(text: str) -> str:
    """Return the text without what looks like a secret or a telephone number."""
    for pattern, replacement in SECRETS:
        text = pattern.sub(replacement, text)
    for pattern in NUMBERS:
        text = pattern.sub(lambda match: mask_number(match.group()), text)
    return text


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.stdlib.ExtraAdder(["call_id"]),
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]


class _Redactor:
    """The last processor: cleans every key and value that is about to be written."""

    KEEP = frozenset({"time", "level", "logger", "call_id"})
    """Ours, and of known shape."""

    def __init__(self, secrets: Iterable[str]) -> None:
        known = sorted({secret for secret in secrets if len(secret) >= MIN_SECRET_CHARS}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def __call__(self, logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
        return {key: value if key in self.KEEP else self._entry(key, value, 0) for key, value in event.items()}

    def _entry(self, key: object, value: Any, depth: int) -> Any:
        # Counts such as total_tokens are figures, not secrets: only text can be one.
        if isinstance(key, str) and isinstance(value, str | bytes) and SECRET_KEY.search(key):
            return REMOVED
        return self._clean(value, depth)

    def _clean(self, value: Any, depth: int) -> Any:
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, Mapping) and depth < MAX_DEPTH:
            items = list(value.items())[:MAX_ITEMS]
            return {self._text(str(key)): self._entry(key, item, depth + 1) for key, item in items}
        if isinstance(value, list | tuple | set | frozenset) and depth < MAX_DEPTH:
            return [self._clean(item, depth + 1) for item in list(value)[:MAX_ITEMS]]
        return self._text(str(value))

    def _text(self, text: str) -> str:
        if len(text) > MAX_TEXT_CHARS:
            half = MAX_TEXT_CHARS // 2  # a traceback says where it began and, at its end, what happened
            text = f"{text[:half]} … {len(text) - MAX_TEXT_CHARS} characters left out … {text[-half:]}"
        if self._known is not None:
            text = self._known.sub(REMOVED, text)
        return redact(text)
