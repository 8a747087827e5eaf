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


def one_run(playout: Playout, response: str, sent_s: float, echoed_s: float) -> list[Heard]:
    """Have 100 ms played alone, whose mark comes back at `echoed_s`."""
    commands = playout.receive(response, response, speech(100), sent_s) + playout.finish(response, sent_s)
    return playout.played(marks(commands)[0], echoed_s)


def release_until(playout: Playout, now: float) -> None:
    while playout.deadline is not None and playout.deadline <= now:
        playout.release(playout.deadline)


def test_the_trip_of_a_mark_is_not_taken_for_silence() -> None:
    """A clear takes as long as the audio did: 80 ms of line each way change nothing at the caller's end."""
    playout = Playout(lead_ms=400)
    heard = one_run(playout, "r1", 0.0, 0.260)
    assert [(h.item_id, h.ms, round(h.begins_s, 3)) for h in heard] == [("r1", 100, 0.160)]
    playout.receive("r2", "j", speech(2000), now=1.0)
    assert TruncateItem("j", 500) in playout.interrupt(now=1.5).commands


def test_a_run_that_plays_later_than_others_is_heard_later() -> None:
    playout = Playout(lead_ms=400)
    for number in range(3):
        one_run(playout, f"r{number}", number, number + 0.260)
    commands = playout.receive("r9", "j", speech(3000), now=9.0)
    while not marks(commands):
        commands = playout.release(playout.deadline or 0.0)
    ends_s = 9.0 + 1.08  # six pieces of 180 ms
    playout.played(marks(commands)[0], now=ends_s + 0.160 + 0.300)
    release_until(playout, 11.0)
    assert TruncateItem("j", 1700) in playout.interrupt(now=11.0).commands


def test_a_single_late_mark_does_not_count() -> None:
    playout = Playout(lead_ms=400)
    one_run(playout, "r1", 0.0, 0.260)
    commands = playout.receive("r9", "j", speech(4000), now=9.0)
    echoed = 0
    while echoed < 2:
        commands = playout.release(playout.deadline or 0.0)
        for name in marks(commands):
            echoed += 1
            late_s = 0.5 if echoed == 2 else 0.0
            playout.played(name, now=9.0 + 1.08 * echoed + 0.160 + late_s)
    release_until(playout, 12.0)
    assert TruncateItem("j", 3000) in playout.interrupt(now=12.0).commands


def test_a_buffer_in_front_of_the_caller_is_no_line() -> None:
    playout = Playout(lead_ms=400)
    one_run(playout, "r1", 0.0, 1.1)
    commands = playout.receive("r2", "j", speech(100), now=2.0) + playout.finish("r2", 2.0)
    playout.receive("r3", "k", speech(3000), now=2.0)
    playout.played(marks(commands)[0], now=3.1)
    assert TruncateItem("k", 200) in playout.interrupt(now=3.0).commands


def test_marks_that_a_clear_echoes_prove_nothing() -> None:
    playout = Playout(lead_ms=400)
    commands = playout.receive("r", "i", speech(300), now=0.0) + playout.finish("r", 0.0)
    playout.interrupt(now=0.1)
    assert playout.played(marks(commands)[0], now=0.11) == []
    assert playout.heard_ms("i", now=5.0)[0] == 100


def test_a_long_answer_asks_for_a_mark_about_once_a_second_and_one_at_its_end() -> None:
    playout = Playout(lead_ms=400)
    commands = playout.receive("r", "i", speech(3500), now=0.0) + playout.finish("r", 0.0)
    while playout.waiting():
        commands += playout.release(playout.deadline or 0.0)
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
    closed = playout.close(now=0.25)
    assert sum(command.ms for command in closed.commands if isinstance(command, Heard)) == 250
    assert [(item.heard_ms, item.received_ms) for item in closed.items] == [(250, 1000)]


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


def test_a_mark_that_was_sent_after_its_audio_had_ended_says_nothing_of_the_line() -> None:
    playout = Playout()
    playout.receive("r1", "a1", speech(300), now=1.0)
    (mark,) = marks(playout.finish("r1", now=6.0))  # the response took its time to be done
    playout.receive("r2", "a2", speech(4000), now=6.0)
    playout.played(mark, now=6.0)
    while playout.deadline is not None and playout.deadline <= 6.6:
        playout.release(playout.deadline)
    assert playout.interrupt(now=6.6).items[0].heard_ms == 600
