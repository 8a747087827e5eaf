"""The picture is well-formed whatever is said in the call, and shows what was measured."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from gateway.records.journal import JournalEntry
from gateway.records.picture import draw
from gateway.records.speech import RecordingError
from gateway.records.timeline import Interruption, Latency, Line, Timeline, ToolWait, tell
from tests.records.conversation import write_wav

SVG = "{http://www.w3.org/2000/svg}"
NASTY = "]]></style><script>alert(1)</script> & \x00\x1b[31m \ud800 \"'"


def texts(path: Path) -> list[str]:
    root = ElementTree.fromstring(path.read_bytes())
    assert root.tag == f"{SVG}svg"
    assert not list(root.iter(f"{SVG}script"))
    return ["".join(one.itertext()) for one in root.iter(f"{SVG}text")]


def test_latencies_tools_and_barge_ins_are_labelled(tmp_path: Path) -> None:
    recording = write_wav(tmp_path / "call.wav", 12, [(3.0, 5.0), (8.0, 9.0)], [(0.5, 2.5), (5.78, 8.35), (9.9, 11.0)])
    timeline = Timeline(
        "call-1",
        (Line(3.2, "caller", "said", "Where is order 427?"), Line(6.0, "agent", "said", "It has shipped.")),
        (ToolWait("get_order", 5.3, 5.7, True), ToolWait("slow_one", 9.2, None, None)),
        (Interruption(8.4, 2420),),
        (Latency(6.0, 780),),
        0.2,
    )
    figures = draw(recording, timeline, tmp_path / "call.svg")
    shown = texts(tmp_path / "call.svg")
    for turn in figures.turns:
        assert f"{turn.v2v_ms} ms" in shown
    assert {"get_order 400 ms", "slow_one no answer", "barge-in, heard 2420 ms", "Where is order 427?"} <= set(shown)
    assert any(text.startswith("12.0 s · 2 turns") for text in shown)


def test_a_promised_result_is_outlined_until_it_comes_and_ends_are_named(tmp_path: Path) -> None:
    recording = write_wav(tmp_path / "call.wav", 60, [(3.0, 5.0)], [(5.78, 8.35)])
    waits = (
        ToolWait("refund", 5.0, 45.0, True, 5.2),
        ToolWait("book", 15.0, 40.0, False, 15.5, "timed_out"),
        ToolWait("pay", 20.0, None, None, 20.1),
        ToolWait("move", 25.0, 30.0, False, 25.1),
        ToolWait("look", 35.0, 36.0, False, None, "given_up"),
        ToolWait("slow", 47.0, 51.0, False, None, "timed_out"),
    )
    draw(recording, Timeline("call-1", (), waits, (), (), 0.0), tmp_path / "call.svg")
    assert {
        "refund 200 ms, result after 40.0 s",
        "book 500 ms, no result",
        "pay 100 ms, no result",
        "move 100 ms, result after 5.0 s, failed",
        "look 1000 ms, given up",
        "slow 4000 ms, no answer in time",
    } <= set(texts(tmp_path / "call.svg"))
    boxes = list(ElementTree.fromstring((tmp_path / "call.svg").read_bytes()).iter(f"{SVG}rect"))
    kinds = [box.get("class") for box in boxes if box.get("class") in ("wait", "failed", "promised", "broken")]
    assert kinds == ["wait", "promised", *("wait", "broken") * 3, "failed", "failed"]


def test_hostile_texts_stay_texts(tmp_path: Path) -> None:
    recording = write_wav(tmp_path / "call.wav", 3, [(0.5, 1.0)], [])
    timeline = Timeline(NASTY, (Line(0.1, "caller", "said", NASTY),), (ToolWait(NASTY, 0.1, 2.0, False),), (), (), 0.0)
    draw(recording, timeline, tmp_path / "call.svg")
    assert any("<script>" in text for text in texts(tmp_path / "call.svg"))


def test_a_crowded_call_is_drawn_with_labels_that_do_not_overlap(tmp_path: Path) -> None:
    waits = tuple(ToolWait(f"tool_{number}", number * 5.0, number * 5.0 + 1, True) for number in range(240))
    recording = tmp_path / "call.wav"
    write_wav(recording, 0, [], [])
    frames = 1200 * 8000
    header = bytearray(recording.read_bytes())
    header[4:8], header[40:44] = (36 + 4 * frames).to_bytes(4, "little"), (4 * frames).to_bytes(4, "little")
    with recording.open("wb") as file:
        file.write(header)
        file.truncate(44 + 4 * frames)
    draw(recording, Timeline("call-1", (), waits, (), (), 0.0), tmp_path / "call.svg")
    shown = [text for text in texts(tmp_path / "call.svg") if text.startswith("tool_")]
    assert 30 < len(shown) < 100
    assert (tmp_path / "call.svg").stat().st_size < 1_000_000


def test_an_empty_call_is_drawn(tmp_path: Path) -> None:
    recording = write_wav(tmp_path / "call.wav", 0, [], [])
    draw(recording, tell(None, list[JournalEntry]()), tmp_path / "call.svg")
    assert texts(tmp_path / "call.svg")


def test_an_unwritable_place_is_refused_with_a_sentence(tmp_path: Path) -> None:
    recording = write_wav(tmp_path / "call.wav", 1, [], [])
    with pytest.raises(RecordingError, match="cannot be written"):
        draw(recording, tell(None, []), tmp_path / "none" / "call.svg")
