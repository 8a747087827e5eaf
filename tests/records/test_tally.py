"""Function calls are counted once each, by the last that is known of them."""

from prometheus_client.parser import text_string_to_metric_families

from gateway.core import CallPlan
from gateway.core import commands as cmd
from gateway.core import events as ev
from gateway.core.plan import Filler, OnInterrupt, ToolRules
from gateway.metrics import Metrics
from gateway.records.book import Summary
from gateway.records.tally import Functions, Tally
from tests.core.lists import done, until
from tests.records.recorded import RecordedCall

RULES = {
    "book": ToolRules(filler=None),
    "slow": ToolRules(filler=None, deadline_s=3.0),
    "look": ToolRules(filler=Filler(0.5, sound=True), on_interrupt=OnInterrupt.CANCEL),
}


def called(tool_call_id: str, name: str, arguments: str = "{}") -> ev.FunctionCall:
    return ev.FunctionCall(tool_call_id, name, arguments)


def test_each_function_call_of_a_call_is_counted_by_how_it_ended() -> None:
    call = RecordedCall(CallPlan(tools=RULES))
    names = ["book", "book", "book", "book", "slow", "look"]
    calls = [called(f"c{number}", name, f'{{"n":{number}}}') for number, name in enumerate(names)]
    call.receive(ev.ResponseCreated("r1", ""), 2.0)
    call.receive(done("r1", *calls), 2.0)
    call.receive(ev.ResponseCreated("r2", ""), 2.1)
    call.receive(done("r2", called("c9", "book", '{"n":3}')), 2.1)  # an equal one that is not carried out
    call.receive(ev.ToolResult("c0", True, "1"), 2.2)
    call.receive(ev.ToolResult("c0", False, "1"), 2.2)  # twice
    call.receive(ev.ToolResult("c1", False, "1"), 2.3)
    call.receive(ev.ToolResult("c2", True, "1", pending=True), 2.4)
    until(call, 3.5)
    call.receive(ev.SpeechStarted("u1", 0), 3.6)
    until(call, 5.5)
    call.receive(ev.ToolResult("c4", True, "1"), 5.6)  # too late
    summary = call.hang_up(6.0)
    assert summary.functions == Functions(ok=1, error=2, pending=1, cancelled=1, unanswered=1, repeated=1, fillers=1)
    assert call.record.latency is not None
    assert call.record.latency["functions"] == {
        "ok": 1,
        "error": 2,
        "pending": 1,
        "cancelled": 1,
        "unanswered": 1,
        "repeated": 1,
        "fillers": 1,
        "claims_unbacked": 0,
        "claims_corrected": 0,
    }


def test_a_promise_counts_as_what_came_of_it() -> None:
    tally = Tally()
    for tool_call_id, ok in (("a", True), ("b", False)):
        tally.invoked(tool_call_id)
        tally.answered(ev.ToolResult(tool_call_id, True, "1", pending=True))
        tally.answered(ev.ToolResult(tool_call_id, ok, "1"))
    tally.invoked("c")
    tally.answered(ev.ToolResult("c", True, "1", pending=True))
    tally.noted("tool_timeout", {"tool_call_id": "c"})
    assert tally.total() == Functions(ok=1, error=2)


def test_a_call_without_functions_has_no_figures_of_them() -> None:
    call = RecordedCall(CallPlan())
    call.hang_up(6.0)
    assert call.record.latency is not None and "functions" not in call.record.latency


def test_claims_and_corrections_are_counted() -> None:
    call = RecordedCall(CallPlan())
    for kind in ("claim_unbacked", "claim_unbacked", "claim_corrected"):
        call.book.command(cmd.Record(kind, {"tool": "book"}), 3.0)
    assert call.hang_up(6.0).functions == Functions(claims_unbacked=2, claims_corrected=1)


def test_metrics_add_up_fillers_claims_and_corrections() -> None:
    metrics = Metrics(lambda: 0)
    metrics.call_ended(
        "inbound", Summary("idle", functions=Functions(fillers=3, claims_unbacked=2, claims_corrected=1))
    )
    samples = {
        sample.name: sample.value
        for family in text_string_to_metric_families(metrics.page().decode())
        for sample in family.samples
    }
    assert samples["gateway_fillers_total"] == 3
    assert samples["gateway_claims_unbacked_total"] == 2
    assert samples["gateway_claims_corrected_total"] == 1
