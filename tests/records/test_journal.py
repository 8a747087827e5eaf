"""The journal is complete below its bounds and says what it left out above them."""

from gateway.records.journal import Journal, MemorySink


def test_entries_are_numbered_and_count_from_the_offer() -> None:
    sink = MemorySink()
    journal = Journal("call-1", sink, 100.0)
    journal.add("<", "SpeechStarted", {"item_id": "item_1"}, 101.25)
    journal.add(">", "ClearAudio", {}, 101.25)
    found = [(entry.seq, entry.at_s, entry.direction, entry.kind, entry.data) for entry in sink.entries]
    assert found == [(0, 1.25, "<", "SpeechStarted", {"item_id": "item_1"}), (1, 1.25, ">", "ClearAudio", {})]


def test_a_minute_of_frames_is_sixty_entries() -> None:
    sink = MemorySink()
    journal = Journal("call-1", sink, 0.0)
    for number in range(3000):
        journal.count_audio("CallerAudio", 20, number / 50)
        journal.count_audio("AppendAudio", 20, number / 50)
    journal.close()
    runs = [entry for entry in sink.entries if entry.kind == "CallerAudio"]
    assert len(runs) == 60
    assert (runs[1].at_s, runs[1].data) == (1.0, {"frames": 50, "ms": 1000, "until_s": 1.98})
    assert sum(int(str(entry.data["frames"])) for entry in sink.entries) == 6000


def test_a_run_that_stopped_is_written_with_the_next_entry() -> None:
    sink = MemorySink()
    journal = Journal("call-1", sink, 0.0)
    journal.count_audio("CallerAudio", 20, 0.0)
    journal.add("=", "note", {}, 0.5)
    journal.add("=", "note", {}, 1.5)
    assert [entry.kind for entry in sink.entries] == ["note", "CallerAudio", "note"]


def test_beyond_the_limit_entries_are_counted_and_noted_once() -> None:
    sink = MemorySink()
    journal = Journal("call-1", sink, 0.0, limit=3)
    for number in range(10):
        journal.add("=", f"note {number}", {}, number)
    journal.close()
    assert [entry.kind for entry in sink.entries] == ["note 0", "note 1", "note 2", "journal_full", "journal_dropped"]
    assert sink.entries[-1].data == {"entries": 7}
    assert [entry.seq for entry in sink.entries] == list(range(5))


def test_long_texts_are_cut() -> None:
    sink = MemorySink()
    Journal("call-1", sink, 0.0).add("<", "ToolResult", {"output": "x" * 100_000}, 0.0)
    assert len(str(sink.entries[0].data["output"])) < 17_000
