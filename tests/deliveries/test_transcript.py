"""Turns read off journals: lists of entries in, turns out."""

from typing import Literal

from gateway.deliveries.transcript import Transcript, Turn
from gateway.store.rows import JournalEntry, JsonValue


class Journal:
    """A journal that is written line by line."""

    def __init__(self) -> None:
        self.transcript = Transcript()
        self.turns: list[Turn] = []
        self._seq = 0

    def add(self, at_s: float, kind: str, /, **data: JsonValue) -> "Journal":
        direction: Literal["<", ">", "="] = "="
        self._seq += 1
        self.turns += self.transcript.read(JournalEntry("call_1", self._seq, at_s, direction, kind, data))
        return self

    def end(self) -> list[Turn]:
        self.turns += self.transcript.finish()
        return self.turns

    def answers(self, at_s: float, ms: float, text: str, name: str = "a") -> "Journal":
        """Add a whole response whose sound is on its way."""
        self.add(at_s, "ResponseCreated", response_id=f"r{name}").add(at_s, "PlayAudio", item_id=name, ms=ms)
        self.add(at_s, "AgentSaid", item_id=name, response_id=f"r{name}", text=text)
        return self.add(at_s, "ResponseDone", response_id=f"r{name}")


def told(turns: list[Turn]) -> list[tuple[str, str, bool]]:
    return [(turn.role, turn.text, turn.cut) for turn in turns]


def test_an_answer_is_a_turn_once_it_was_heard() -> None:
    journal = Journal().answers(1.0, 2000, "Good morning to you.")
    assert journal.turns == []
    journal.add(3.0, "Heard", item_id="a", ms=2000, begins_s=1.05)
    journal.add(3.5, "CallerAudio", frames=1, ms=20)
    assert journal.turns == [Turn(0, "agent", "Good morning to you.", 1.05, "a")]
    assert journal.end() == journal.turns


def test_a_pause_before_an_interruption_is_no_end() -> None:
    journal = Journal().answers(1.0, 2000, "One two three four.")
    journal.add(2.0, "ClearAudio").add(2.0, "Heard", item_id="a", ms=1000, begins_s=1.0).add(2.0, "held")
    journal.add(2.5, "CallerAudio", frames=1, ms=20)
    assert journal.turns == []
    journal.add(2.6, "barge_in", item_id="a", heard_ms=1000, received_ms=2000)
    journal.add(2.6, "heard_text", item_id="a", text="One two", heard_ms=1000, received_ms=2000)
    assert told(journal.turns) == [("agent", "One two", True)]


def test_a_pause_for_a_cough_changes_nothing() -> None:
    journal = Journal().answers(1.0, 2000, "One two three four.")
    journal.add(2.0, "ClearAudio").add(2.0, "Heard", item_id="a", ms=1000, begins_s=1.0).add(2.0, "held")
    journal.add(2.5, "CallerAudio", frames=1, ms=20)
    journal.add(2.6, "resumed", why="short").add(2.6, "PlayAudio", item_id="a", ms=1000)
    assert journal.turns == []
    journal.add(3.6, "Heard", item_id="a", ms=1000, begins_s=2.6).add(4.0, "CallerAudio", frames=1, ms=20)
    assert told(journal.turns) == [("agent", "One two three four.", False)]


def test_words_that_nobody_heard_are_no_turn() -> None:
    journal = Journal().answers(1.0, 2000, "Never mind.")
    journal.add(1.0, "barge_in", item_id="a", heard_ms=0, received_ms=2000)
    journal.add(1.0, "heard_text", item_id="a", text="", heard_ms=0, received_ms=2000)
    assert journal.add(5.0, "AgentSaid", item_id="b", response_id="rb", text="Nor this.").end() == []


def test_an_answer_cut_before_its_words_are_known_waits_for_them() -> None:
    journal = Journal().add(1.0, "ResponseCreated", response_id="ra").add(1.0, "PlayAudio", item_id="a", ms=1000)
    journal.add(1.5, "Heard", item_id="a", ms=500, begins_s=1.0)
    journal.add(1.5, "barge_in", item_id="a", heard_ms=500, received_ms=1000)
    journal.add(2.0, "AgentSaid", item_id="a", response_id="ra", text="One two three four.")
    journal.add(2.0, "heard_text", item_id="a", text="One two", heard_ms=500, received_ms=1000)
    assert told(journal.turns) == [("agent", "One two", True)]


def test_a_process_that_dies_in_mid_sentence_leaves_what_was_heard() -> None:
    journal = Journal().answers(1.0, 1000, "One two three four.")
    journal.add(1.0, "AudioDelta", frames=20, ms=2000).add(2.0, "Heard", item_id="a", ms=1000, begins_s=1.0)
    journal.add(2.0, "PlayAudio", item_id="a", ms=1000)
    assert told(journal.end()) == [("agent", "One two", True)]


def test_a_caller_turn_stands_where_the_speech_began() -> None:
    journal = Journal().add(2.0, "SpeechStarted", item_id="c", began_s=1.7)
    journal.add(9.0, "CallerSaid", item_id="c", text=" I said something. ")
    journal.add(9.5, "CallerSaid", item_id="d", text="   ")
    assert journal.end() == [Turn(0, "caller", "I said something.", 1.7, "c")]


def test_a_manual_turn_begins_where_our_own_ear_heard_it() -> None:
    journal = Journal().add(2.2, "VoiceStarted", at_s=2.0).add(5.0, "InputCommitted", item_id="c")
    assert journal.add(6.0, "CallerSaid", item_id="c", text="Hm.").end()[0].at_s == 2.0


def test_a_strange_journal_is_read_as_far_as_it_goes() -> None:
    journal = Journal()
    for kind in ("Heard", "PlayAudio", "AgentSaid", "CallerSaid", "barge_in", "heard_text", "SpeechStarted"):
        journal.add(1.0, kind).add(1.0, kind, item_id=None, ms="x", text=7, begins_s=float("nan"), heard_ms=True)
        journal.add(1.0, kind, item_id="z", ms=-5, heard_ms=-1, received_ms=0)
    journal.add(2.0, "ResponseDone").add(3.0, "AudioDelta", ms=None)
    assert journal.end() == []


def test_little_is_kept_of_a_call_without_an_end() -> None:
    journal = Journal()
    for number in range(2000):
        journal.add(number, "SpeechStarted", item_id=f"s{number}").add(number, "PlayAudio", item_id=f"p{number}", ms=1)
        journal.add(number, "ResponseCreated", response_id=f"r{number}")
    kept = journal.transcript
    assert max(len(kept._items), len(kept._received), len(kept._done), len(kept._told)) <= 64
