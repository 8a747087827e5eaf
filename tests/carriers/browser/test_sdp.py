"""Of a browser's offer only what a call needs is taken; everything else is refused or left out."""

import pytest
from aiortc.sdp import SessionDescription
from hypothesis import given
from hypothesis import strategies as st

from gateway.carriers.browser.sdp import MOST_CHARS, read_offer
from gateway.errors import RemoteProtocolError

TRANSPORT = """\
a=ice-ufrag:4Lxh
a=ice-pwd:W8g89MpzhUtpQCNAa8mR5uqz
a=ice-options:trickle
a=fingerprint:sha-256 F3:54:E2:50:12:70:FD:E6:04:0B:7F:A7:CB:5A:77:F0:5E:88:E7:68:E6:7A:A5:69:12:46:88:54:DF:74:04:64
a=setup:actpass
"""
CHROMIUM = f"""\
v=0
o=- 976545346858794464 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1
a=extmap-allow-mixed
a=msid-semantic: WMS
m=audio 9 UDP/TLS/RTP/SAVPF 0
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
a=candidate:3627176447 1 udp 2113937151 7d108a7c-74f2-4e7d-973d-456bd4dbf638.local 48234 typ host generation 0
a=candidate:1 1 udp 2113937151 198.51.100.7 53 typ host generation 0
{TRANSPORT}\
a=mid:0
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
a=sendrecv
a=rtcp-mux
a=rtpmap:0 PCMU/8000
a=ssrc:2017984271 cname:gO4rsyDbSKRQMu9Q
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
{TRANSPORT}\
a=mid:1
a=sctp-port:5000
a=max-message-size:262144
"""
"""As Chromium 156 writes it, with one candidate of somebody else's address."""


def test_what_chromium_offers_is_read() -> None:
    offer = read_offer(CHROMIUM.replace("\n", "\r\n"))
    assert (offer.ufrag, offer.password, offer.setup) == ("4Lxh", "W8g89MpzhUtpQCNAa8mR5uqz", "actpass")
    assert (offer.audio_mid, offer.data_mid) == ("0", "1")


def test_our_own_words_hold_pcmu_alone_and_no_candidate_of_theirs() -> None:
    ours = read_offer(CHROMIUM).sdp()
    audio, data = SessionDescription.parse(ours).media
    assert [(codec.mimeType, codec.payloadType) for codec in audio.rtp.codecs] == [("audio/PCMU", 0)]
    assert data.kind == "application" and data.sctp_port == 5000
    assert [candidate.ip for candidate in audio.ice_candidates] == ["127.0.0.1"]
    assert ".local" not in ours and "198.51.100.7" not in ours


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("v=0\n", ""),
        ("SAVPF 0\n", "SAVPF 111\n"),
        ("a=rtcp-mux\n", ""),
        ("a=group:BUNDLE 0 1", "a=group:BUNDLE 1 0"),
        ("a=group:BUNDLE 0 1\n", ""),
        ("a=mid:1", "a=mid:0"),
        ("a=mid:1", "a=mid:one two"),
        (TRANSPORT, ""),
        ("a=fingerprint:sha-256 F3", "a=fingerprint:sha-1 F3"),
        ("a=fingerprint:sha-256 F3:", "a=fingerprint:sha-256 "),
        ("a=ice-ufrag:4Lxh", "a=ice-ufrag:4"),
        ("a=ice-pwd:W8g89MpzhUtpQCNAa8mR5uqz", "a=ice-pwd:short"),
        ("a=setup:actpass", "a=setup:holdconn"),
        ("m=application", "m=audio"),
        ("m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "m=video 9 UDP/TLS/RTP/SAVPF 96"),
        ("m=application", "m=video 9 UDP/TLS/RTP/SAVPF 96\nm=application"),
        ("a=sendrecv\n", "a=sendrecv\n" * 500),
        ("a=sendrecv\n", "a=" + "x" * MOST_CHARS + "\n"),
    ],
)
def test_what_is_not_a_call_s_offer_is_refused_with_a_sentence(old: str, new: str) -> None:
    assert old in CHROMIUM
    with pytest.raises(RemoteProtocolError, match=r"^(expected|the offer)"):
        read_offer(CHROMIUM.replace(old, new))


@given(st.text() | st.lists(st.sampled_from(CHROMIUM.splitlines())).map("\n".join))
def test_garbage_raises_nothing_else(text: str) -> None:
    try:
        read_offer(text)
    except RemoteProtocolError as refused:
        assert len(str(refused)) < 200
