"""The offer of a browser: read strictly, and written anew with nothing but what a call needs. Pure.

An SDP library would take the page's text, thousands of lines of it if need be, into all of its features. Here seven
values are taken out, each of a known form, and put into an offer of our own making (RFC 8829, RFC 8866): PCMU is all it
knows, so nothing else can be negotiated. Candidates are left out: the browser comes to us, and where it comes from is
learnt from its connectivity checks (RFC 8445 §7.3.1.3). So nobody can have us send packets to an address of their
choice, and no `.local` name is asked for on the network.
"""

import re
from dataclasses import dataclass

from gateway.errors import RemoteProtocolError

__all__ = ["MOST_CHARS", "Offer", "read_offer"]

MOST_CHARS = 16 * 1024
MOST_LINES = 400

UFRAG = re.compile(r"a=ice-ufrag:([A-Za-z0-9+/]{4,256})")
PASSWORD = re.compile(r"a=ice-pwd:([A-Za-z0-9+/]{22,256})")
FINGERPRINT = re.compile(r"a=fingerprint:(sha-256) ((?:[0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2})")
SETUP = re.compile(r"a=setup:(actpass|active)")
MID = re.compile(r"a=mid:([A-Za-z0-9_-]{1,16})")
AUDIO = re.compile(r"m=audio [0-9]{1,5} (?:UDP/TLS/RTP/SAVPF|RTP/SAVPF) ([0-9 ]{1,200})")
DATA = re.compile(r"m=application [0-9]{1,5} (?:UDP/DTLS/SCTP|DTLS/SCTP) webrtc-datachannel")
PCMU = "0"
"""Static payload type of G.711 mu-law at 8 kHz (RFC 3551 §6)."""

NOBODY = "a=candidate:1 1 udp 1 127.0.0.1 9 typ host"
"""The discard port of this machine, which is not ours: without any candidate the ICE agent gives up at once, although
the browser's own checks are on their way."""


@dataclass(slots=True, frozen=True)
class Offer:
    """What a browser offers."""

    ufrag: str
    password: str
    fingerprint: str
    """SHA-256 of its certificate, hex pairs with colons."""
    setup: str
    audio_mid: str
    data_mid: str

    def sdp(self) -> str:
        """Return the offer in our own words."""
        return "\r\n".join(
            [
                "v=0",
                "o=- 1 1 IN IP4 127.0.0.1",
                "s=-",
                "t=0 0",
                f"a=group:BUNDLE {self.audio_mid} {self.data_mid}",
                f"m=audio 9 UDP/TLS/RTP/SAVPF {PCMU}",
                *self._transport(self.audio_mid),
                NOBODY,
                "a=sendrecv",
                "a=rtcp-mux",
                f"a=rtpmap:{PCMU} PCMU/8000",
                "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
                *self._transport(self.data_mid),
                "a=sctp-port:5000",
                "a=max-message-size:65536",
                "",
            ]
        )

    def _transport(self, mid: str) -> list[str]:
        return [
            "c=IN IP4 0.0.0.0",
            f"a=ice-ufrag:{self.ufrag}",
            f"a=ice-pwd:{self.password}",
            f"a=fingerprint:sha-256 {self.fingerprint}",
            f"a=setup:{self.setup}",
            f"a=mid:{mid}",
        ]


def read_offer(text: str) -> Offer:
    """Read a page's offer: one audio section with PCMU and one of data channels, bundled. Raises
    `RemoteProtocolError`."""
    if len(text) > MOST_CHARS:
        raise RemoteProtocolError(f"the offer may have {MOST_CHARS} characters")
    lines = text.splitlines()
    if len(lines) > MOST_LINES or not lines or lines[0] != "v=0":
        raise RemoteProtocolError("expected an SDP offer that begins with v=0")
    head, *sections = _sections(lines)
    audio = [section for section in sections if AUDIO.fullmatch(section[0])]
    data = [section for section in sections if DATA.fullmatch(section[0])]
    if len(sections) != 2 or len(audio) != 1 or len(data) != 1:
        raise RemoteProtocolError("expected one audio section and one of data channels")
    formats = AUDIO.fullmatch(audio[0][0])
    if formats is None or PCMU not in formats[1].split() or "a=rtcp-mux" not in audio[0]:
        raise RemoteProtocolError("expected PCMU as payload type 0, with rtcp-mux")
    mids = _one(MID, audio[0]), _one(MID, data[0])
    if mids[0] == mids[1] or not any(line.split()[:3] == ["a=group:BUNDLE", *mids] for line in head):
        raise RemoteProtocolError("expected audio and data channels in one bundle, audio first")
    transport = head + audio[0]
    return Offer(
        ufrag=_one(UFRAG, transport),
        password=_one(PASSWORD, transport),
        fingerprint=_one(FINGERPRINT, transport, group=2).upper(),
        setup=_one(SETUP, transport),
        audio_mid=mids[0],
        data_mid=mids[1],
    )


def _sections(lines: list[str]) -> list[list[str]]:
    """Return the head and each media section, in order."""
    sections: list[list[str]] = [[]]
    for line in lines:
        if line.startswith("m="):
            sections.append([])
        sections[-1].append(line)
    return sections


def _one(pattern: re.Pattern[str], lines: list[str], *, group: int = 1) -> str:
    found = next((match for line in lines if (match := pattern.fullmatch(line))), None)
    if found is None:
        raise RemoteProtocolError(f"the offer lacks {pattern.pattern.partition(':')[0]}")
    return found[group]
