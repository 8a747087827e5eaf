"""What was sent, what was heard."""

import base64

from gateway.core.audio import payload_bytes, payload_ms, split_payload
from gateway.core.commands import ClearAudio, Command, DeleteItem, Heard, PlayAudio, SendMark, TruncateItem
from gateway.core.playout import Playout


def speech(ms: int, byte: int = 0x11) -> str:
    return base64.b64encode(bytes([byte]) * (ms * 8)).decode()


def sent_ms(commands: list[Command]) -> float:
    return sum(c.ms for c in commands if isinstance(c, PlayAudio))


def marks(commands: list[Command]) -> list[str]:
    return [c.name for c in commands if isinstance(c, SendMark)]


def test_length_of_a_payload_is_told_without_decoding() -> None:
    for size in (1, 2, 3, 159, 160, 161):
        assert payload_bytes(base64.b64encode(bytes(size)).decode()) == size


def test_cut_payloads_decode_to_the_same_bytes() -> None:
    audio = bytes(range(256)) * 20
    pieces = split_payload(base64.b64encode(audio).decode(), 1440)
    assert b"".join(base64.b64decode(p) for p in pieces) == audio
    assert all(payload_bytes(p) <= 1440 for p in pieces)


def test_audio_leaves_no_further_ahead_than_the_lead() -> None:
    playout = Playout(lead_ms=400)
    sent = sent_ms(playout.receive("r", "i", speech(5000), now=10.0))
    assert 400 <= sent <= 600
    assert playout.deadline is not None
    later = sent_ms(playout.release(playout.deadline))
    assert 0 < later <= 180


def test_everything_received_is_sent_in_the_end_once() -> None:
    playout = Playout(lead_ms=400)
    commands = playout.receive("r", "i", speech(3000), now=0.0)
    now = 0.0
    while playout.deadline is not None:
        now = max(now, playout.deadline)
        commands += playout.release(now)
    assert sent_ms(commands) == 3000


def test_a_barge_in_truncates_the_item_playing_at_what_was_heard() -> None:
    playout = Playout(lead_ms=400)
    playout.receive("r", "i", speech(2000), now=1.0)
    cut = playout.interrupt(now=1.25)
    assert cut.commands[0] == ClearAudio()
    assert TruncateItem("i", 250) in cut.commands
    assert [(i.heard_ms, i.received_ms) for i in cut.items] == [(250, 2000)]


def test_items_of_which_nothing_was_heard_are_deleted() -> None:
    playout = Playout(lead_ms=400)
    playout.receive("r", "a", speech(300), now=0.0)
    playout.receive("r", "b", speech(300), now=0.0)
    playout.receive("r", "c", speech(300), now=0.0)
    cut = playout.interrupt(now=0.2)
    assert [c for c in cut.commands if isinstance(c, TruncateItem | DeleteItem)] == [
        TruncateItem("a", 200),
        DeleteItem("b"),
        DeleteItem("c"),
    ]


def test_an_interruption_before_the_first_sample_deletes_the_item() -> None:
    playout = Playout()
    playout.receive("r", "i", speech(500), now=3.0)
    assert DeleteItem("i") in playout.interrupt(now=3.0).commands


def test_nothing_is_told_when_nothing_plays() -> None:
    assert Playout().interrupt(now=1.0).commands == []


def test_an_item_heard_to_its_end_is_not_truncated() -> None:
    playout = Playout(lead_ms=400)
    playout.receive("r", "a", speech(200), now=0.0)
    playout.receive("r", "b", speech(400), now=0.0)
    cut = playout.interrupt(now=0.3)
    assert [i.item_id for i in cut.items] == ["b"]
    assert TruncateItem("b", 100) in cut.commands


def test_late_deltas_of_a_silenced_response_are_dropped() -> None:
    playout = Playout()
    playout.receive("r1", "i", speech(500), now=0.0)
    playout.interrupt(now=0.1)
    assert playout.receive("r1", "i", speech(500), now=0.2) == []
    assert sent_ms(playout.receive("r2", "j", speech(100), now=0.3)) == 100


def test_a_mark_moves_what_was_heard_to_its_proof() -> None:
    playout = Playout(lead_ms=400)
    first = playout.receive("r", "i", speech(100), now=0.0) + playout.finish("r", 0.0)
    playout.receive("r2", "j", speech(200), now=0.0)
    heard = playout.played(marks(first)[0], now=0.350)  # 250 ms of line and carrier before it
    assert [(h.item_id, h.ms, round(h.begins_s, 3)) for h in heard] == [("i", 100, 0.250)]
    assert TruncateItem("j", 50) in playout.interrupt(now=0.4).commands


def test_marks_that_a_clear_echoes_prove_nothing() -> None:
    playout = Playout(lead_ms=400)
    commands = playout.receive("r", "i", speech(300), now=0.0) + playout.finish("r", 0.0)
    playout.interrupt(now=0.1)
    assert playout.played(marks(commands)[0], now=0.11) == []
    assert playout.heard_ms("i", now=5.0)[0] == 100


def test_a_long_answer_asks_for_a_mark_about_once_a_second_and_one_at_its_end() -> None:
    playout = Playout(lead_ms=400)
    commands = playout.receive("r", "i", speech(3500), now=0.0) + playout.finish("r", 0.0)
    while playout.deadline is not None:
        commands += playout.release(playout.deadline)
    assert 4 <= len(marks(commands)) <= 5
    assert isinstance(commands[-1], SendMark)


def test_a_pause_between_answers_is_not_counted_as_heard() -> None:
    playout = Playout(lead_ms=400)
    playout.receive("r", "i", speech(100), now=0.0)
    playout.receive("r2", "j", speech(1000), now=10.0)
    assert TruncateItem("j", 300) in playout.interrupt(now=10.3).commands


def test_what_was_heard_until_the_leg_ended_is_settled_by_the_clock() -> None:
    playout = Playout(lead_ms=400)
    playout.receive("r", "i", speech(1000), now=0.0)
    assert sum(h.ms for h in playout.close(now=0.25)) == 250


def test_audio_of_a_lost_session_plays_on_but_no_model_is_told_about_it() -> None:
    playout = Playout(lead_ms=400)
    playout.receive("r", "i", speech(1000), now=0.0)
    playout.detach()
    cut = playout.interrupt(now=0.2)
    assert cut.commands[0] == ClearAudio()
    assert all(isinstance(c, ClearAudio | Heard) for c in cut.commands)
    assert payload_ms(speech(20)) == 20


def test_a_model_that_talks_for_ever_is_not_kept_for_ever() -> None:
    playout = Playout(lead_ms=400)
    for _ in range(200):
        playout.receive("r", "i", speech(10_000), now=0.0)
    received = playout.interrupt(now=1.0).items[0].received_ms
    assert 600_000 <= received <= 620_000
