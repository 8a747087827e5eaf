"""TwiML, the part that a voice agent answers with (Twilio, TwiML for Programmable Voice).

The document comes from outside: at most 64 KiB, UTF-8, no DOCTYPE. A verb that is not known here is kept
as `Unknown`, reported (12200) and skipped.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import urljoin
from xml.etree import ElementTree

__all__ = [
    "Conference",
    "Connect",
    "Dial",
    "DialTarget",
    "Document",
    "Gather",
    "Hangup",
    "Pause",
    "Play",
    "Redirect",
    "Reject",
    "Say",
    "Stream",
    "TwimlError",
    "Unknown",
    "Verb",
    "parse_twiml",
]

MAX_BYTES = 64 * 1024
MAX_VERBS = 200
PARAMETER_LIMIT = 500
MAX_TARGETS = 10


class TwimlError(Exception):
    """The answer cannot be followed; `code` is Twilio's error code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(slots=True, frozen=True)
class Say:
    text: str


@dataclass(slots=True, frozen=True)
class Pause:
    seconds: float


@dataclass(slots=True, frozen=True)
class Play:
    """Digits, or a sound file that is named in the report but not fetched."""

    digits: str
    url: str


@dataclass(slots=True, frozen=True)
class Hangup:
    pass


@dataclass(slots=True, frozen=True)
class Reject:
    reason: str


@dataclass(slots=True, frozen=True)
class Redirect:
    url: str
    method: str


@dataclass(slots=True, frozen=True)
class DialTarget:
    """A `<Number>`, `<Sip>` or `<Client>`: somebody to ring."""

    address: str
    url: str | None = None
    """TwiML for the called party, between the answer and the connection."""
    method: str = "POST"
    status_callback: str | None = None
    status_events: Sequence[str] = ("completed",)


@dataclass(slots=True, frozen=True)
class Conference:
    name: str
    starts: bool
    """`startConferenceOnEnter`."""
    ends: bool
    """`endConferenceOnExit`."""
    wait_url: str | None
    """None is Twilio's hold music, "" silence."""
    wait_method: str
    status_callback: str | None
    status_events: Sequence[str]


@dataclass(slots=True, frozen=True)
class Dial:
    """`answerOnBridge` concerns calls that are not answered yet; here a call is answered by its first verb."""

    targets: Sequence[DialTarget]
    conference: Conference | None
    action: str | None
    method: str
    timeout_s: float
    time_limit_s: float
    caller_id: str | None


@dataclass(slots=True, frozen=True)
class Stream:
    url: str
    name: str
    status_callback: str | None
    status_method: str
    parameters: Mapping[str, str]


@dataclass(slots=True, frozen=True)
class Connect:
    stream: Stream
    action: str | None
    method: str


@dataclass(slots=True, frozen=True)
class Gather:
    """Collect keys; speech recognition is not simulated."""

    prompts: Sequence["Verb"]
    action: str
    method: str
    timeout_s: float
    num_digits: int | None
    finish_on_key: str


@dataclass(slots=True, frozen=True)
class Unknown:
    tag: str


Verb: TypeAlias = Say | Pause | Play | Hangup | Reject | Redirect | Dial | Connect | Gather | Unknown


@dataclass(slots=True, frozen=True)
class Document:
    verbs: Sequence[Verb] = ()
    url: str = ""
    """Where it came from; relative URLs are resolved against it."""


def parse_twiml(body: bytes, url: str = "") -> Document:
    """Parse an answer. Raises `TwimlError` 11750 (too large), 12100 (not XML), 12200 (not TwiML), 11100 (a bad URL)."""
    if len(body) > MAX_BYTES:
        raise TwimlError(11750, f"the answer is larger than {MAX_BYTES} bytes")
    try:
        text = body.decode("utf-8-sig").strip()
        if re.search(r"<!\s*(doctype|entity)", text, re.IGNORECASE):
            raise TwimlError(12100, "a document type declaration is not accepted")
        root = ElementTree.fromstring(text)
    except (UnicodeDecodeError, ElementTree.ParseError, ValueError) as error:
        raise TwimlError(12100, f"the answer is not XML: {error}") from error
    if root.tag != "Response":
        raise TwimlError(12100, "the root element is not <Response>")
    if len(root) > MAX_VERBS:
        raise TwimlError(12200, f"more than {MAX_VERBS} verbs")
    try:
        return Document([_verb(element, url) for element in root], url)
    except ValueError as error:
        raise TwimlError(11100, f"not a URL: {error}") from error


def _verb(element: ElementTree.Element, base: str) -> Verb:  # noqa: PLR0911 - one return a verb
    match element.tag:
        case "Say":
            return Say(_text(element))
        case "Pause":
            return Pause(_number(element, "length", 1))
        case "Play":
            return Play(element.get("digits", ""), urljoin(base, _text(element)) if _text(element) else "")
        case "Hangup":
            return Hangup()
        case "Reject":
            return Reject(element.get("reason", "rejected"))
        case "Redirect":
            return Redirect(urljoin(base, _text(element)), _method(element))
        case "Dial":
            return _dial(element, base)
        case "Connect":
            return _connect(element, base)
        case "Gather":
            return _gather(element, base)
        case tag:
            return Unknown(str(tag))


def _dial(element: ElementTree.Element, base: str) -> Verb:
    targets = [_target(child, base) for child in element if child.tag in ("Number", "Sip", "Client") and _text(child)]
    rooms = [_conference(child, base) for child in element if child.tag == "Conference" and _text(child)]
    targets = targets or [DialTarget(text) for text in [_text(element)] if text and not len(element)]
    if bool(targets) == bool(rooms) or len(rooms) > 1:
        raise TwimlError(12200, "<Dial> names nobody to call, or a conference besides somebody")
    if len(targets) > MAX_TARGETS:
        raise TwimlError(12200, f"<Dial> rings more than {MAX_TARGETS} at once")
    return Dial(
        targets,
        rooms[0] if rooms else None,
        _url(element, "action", base),
        _method(element),
        _number(element, "timeout", 30),
        _number(element, "timeLimit", 14400),
        element.get("callerId", "").strip() or None,
    )


def _target(element: ElementTree.Element, base: str) -> DialTarget:
    return DialTarget(
        _text(element),
        _url(element, "url", base),
        _method(element),
        _url(element, "statusCallback", base),
        # Twilio's documentation of the nouns: `completed` when nothing is said.
        tuple(element.get("statusCallbackEvent", "completed").split()),
    )


def _conference(element: ElementTree.Element, base: str) -> Conference:
    wait = element.get("waitUrl")
    return Conference(
        _text(element),
        starts=element.get("startConferenceOnEnter", "true").lower() != "false",
        ends=element.get("endConferenceOnExit", "false").lower() == "true",
        wait_url=urljoin(base, wait.strip()) if wait and wait.strip() else None if wait is None else "",
        wait_method="GET" if element.get("waitMethod", "").upper() == "GET" else "POST",
        status_callback=_url(element, "statusCallback", base),
        status_events=tuple(element.get("statusCallbackEvent", "").split()),
    )


def _connect(element: ElementTree.Element, base: str) -> Verb:
    children = list(element)
    if len(children) != 1 or children[0].tag != "Stream":
        return Unknown("Connect without exactly one <Stream>")
    stream = children[0]
    parameters = {}
    for child in stream:
        name, value = child.get("name", ""), child.get("value", "")
        if child.tag != "Parameter" or not name:
            raise TwimlError(12200, "<Stream> takes only <Parameter name value>")
        if len(name) + len(value) >= PARAMETER_LIMIT:
            raise TwimlError(12200, f"a <Parameter> is longer than {PARAMETER_LIMIT} characters")
        parameters[name] = value
    callback = _url(stream, "statusCallback", base)
    method = stream.get("statusCallbackMethod", "POST").upper()
    target = Stream(stream.get("url", ""), stream.get("name", ""), callback, method, parameters)
    return Connect(target, _url(element, "action", base), _method(element))


def _gather(element: ElementTree.Element, base: str) -> Verb:
    digits = element.get("numDigits", "")
    return Gather(
        prompts=[_verb(child, base) for child in element if child.tag in ("Say", "Play", "Pause")],
        action=_url(element, "action", base) or base,
        method=_method(element),
        timeout_s=_number(element, "timeout", 5),
        num_digits=int(digits) if digits.isascii() and digits.isdigit() else None,
        finish_on_key=element.get("finishOnKey", "#"),
    )


def _text(element: ElementTree.Element) -> str:
    return " ".join("".join(element.itertext()).split())


def _url(element: ElementTree.Element, name: str, base: str) -> str | None:
    value = element.get(name, "").strip()
    return urljoin(base, value) if value else None


def _method(element: ElementTree.Element) -> str:
    return "GET" if element.get("method", "").upper() == "GET" else "POST"


def _number(element: ElementTree.Element, name: str, default: float) -> float:
    value = element.get(name, "")
    if not re.fullmatch(r"[0-9]{1,5}", value):
        return default
    return float(value)
