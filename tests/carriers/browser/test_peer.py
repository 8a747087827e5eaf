"""The parts of aiortc that are used without being promised are still there, as they were when this was built."""

import inspect

from aioice import Connection
from aiortc import RTCPeerConnection
from aiortc.codecs.g711 import PcmuEncoder
from aiortc.rtcrtpreceiver import RTCRtpReceiver


def test_packets_are_handed_to_the_receiver_by_the_method_that_is_replaced() -> None:
    assert list(inspect.signature(RTCRtpReceiver._handle_rtp_packet).parameters) == [
        "self",
        "packet",
        "arrival_time_ms",
    ]
    from aiortc.rtcdtlstransport import RTCDtlsTransport

    assert "receiver._handle_rtp_packet(packet, arrival_time_ms=arrival_time_ms)" in inspect.getsource(RTCDtlsTransport)


def test_candidates_are_gathered_by_the_method_that_adds_loopback() -> None:
    assert list(inspect.signature(Connection.get_component_candidates).parameters)[:3] == [
        "self",
        "component",
        "addresses",
    ]
    assert "get_component_candidates(component=component, addresses=addresses)" in inspect.getsource(Connection)


def test_a_packet_goes_around_the_encoder() -> None:
    assert "bytes(packet)" in inspect.getsource(PcmuEncoder.pack)
    assert inspect.iscoroutinefunction(RTCPeerConnection.close)
