"""The parts of `gateway simulate turns`, each in small: that they measure what they say."""

import json

import pytest

from gateway.errors import ConfigError
from gateway.simulator.turns import Plan, run_turns
from gateway.simulator.turns.cuts import judge_call
from gateway.simulator.turns.goodbyes import ending_call
from gateway.simulator.turns.interrupted import Cell, interrupted_call
from gateway.simulator.turns.order import judge_order
from gateway.simulator.turns.part import at_most, every, percentile


def test_a_percentile_is_a_value_that_was_there() -> None:
    values = [float(n) for n in range(1, 101)]
    assert (percentile(values, 0.5), percentile(values, 0.95), percentile([], 0.5)) == (50.0, 95.0, None)


def test_a_bound_without_figures_is_missed() -> None:
    assert not at_most("p95", None, 20).ok
    assert not every("calls", 0, 0).ok


def test_equal_seeds_give_equal_calls() -> None:
    cell = Cell(2, 50.0, "generating")
    assert judge_call(interrupted_call(cell, 3)) == judge_call(interrupted_call(cell, 3))


def test_every_answer_of_a_call_is_interrupted_and_nothing_foreign_is_heard() -> None:
    run = interrupted_call(Cell(2, 0.0, "done"), 1)
    judged = judge_call(run)
    assert run.report.script_error is None
    assert len(judged.cuts) >= 6
    assert (judged.errors, judged.beyond, judged.missed) == (0, 0, 0)
    assert max(judged.foreign_ms, judged.old_ms) < 1


def test_a_transcript_with_two_lines_swapped_is_found_out() -> None:
    run = interrupted_call(Cell(1, 0.0, "done"), 1)
    said = [line for line in run.lines if line.kind == "said"]
    swapped = type(run)(run.cell, run.report, run.session, (said[1], said[0], *said[2:]))
    assert "is told before" in judge_order(swapped).detail
    missing = type(run)(run.cell, run.report, run.session, tuple(said[1:]))
    assert judge_order(missing).detail == "missing ['agent G0']"


def test_a_goodbye_with_words_is_heard_whole_and_the_line_is_down() -> None:
    goodbye = ending_call("hang_up with words", 50.0, 1)
    assert goodbye.as_meant
    assert goodbye.down_s < 1
    assert not goodbye.errors


@pytest.mark.e2e
def test_the_command_prints_one_json_document(capsys: pytest.CaptureFixture[str]) -> None:
    code = run_turns(Plan(barge_ins=8, seed=2), ["order"], as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert code == (0 if document["ok"] else 1)
    assert [row["calls"] for row in document["parts"]["order"]["rows"]] == [1] * 8


def test_an_unknown_part_is_refused() -> None:
    with pytest.raises(ConfigError, match="--only must be one of barge-in"):
        run_turns(Plan(), ["barges"])
