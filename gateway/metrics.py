"""Prometheus metrics of a process, under base units and names `gateway_*`. No call id, no number in a label."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from gateway.records.book import Summary

__all__ = ["Metrics"]

LATENCY_BUCKETS = (0.1, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5, 2.0, 3.0, 5.0)


class Metrics:
    """The metrics of one application; several may live in one process."""

    def __init__(self, live: Callable[[], int]) -> None:
        self._registry = CollectorRegistry()
        calls_live = Gauge("gateway_calls_live", "Calls offered and not ended.", registry=self._registry)
        calls_live.set_function(live)
        self._calls = Counter(
            "gateway_calls", "Calls by how they ended.", ["direction", "outcome"], registry=self._registry
        )
        self._duration = Histogram(
            "gateway_call_duration_seconds",
            "From offer to end.",
            buckets=(5, 15, 30, 60, 120, 300, 600, 1800, 3600),
            registry=self._registry,
        )
        self._latency = Histogram(
            "gateway_response_latency_seconds",
            "End of caller speech to the first audio sent to the carrier.",
            buckets=LATENCY_BUCKETS,
            registry=self._registry,
        )
        self._barge_ins = Counter("gateway_barge_in", "Answers cut by the caller.", registry=self._registry)
        self._false_barge_ins = Counter(
            "gateway_false_barge_in", "Holds after which the agent went on: no interruption.", registry=self._registry
        )
        self._dropped = Counter(
            "gateway_dropped_answers", "Early answers that the caller never heard.", registry=self._registry
        )
        self._fillers = Counter("gateway_fillers", "Silences filled while a function ran.", registry=self._registry)
        self._unbacked = Counter(
            "gateway_claims_unbacked", "Claims of agents that no function of the call backs.", registry=self._registry
        )
        self._corrected = Counter(
            "gateway_claims_corrected", "Times a model was told to set its claims right.", registry=self._registry
        )
        self._renewals = Counter("gateway_session_renewals", "Model sessions replaced.", registry=self._registry)
        self._tools = Histogram(
            "gateway_tool_duration_seconds",
            "Function calls by outcome: ok, error, unknown, refused, pending.",
            ["outcome"],
            buckets=LATENCY_BUCKETS,
            registry=self._registry,
        )
        self._replays = Counter(
            "gateway_ledger_replays",
            "Function calls answered with what the ledger had, by its state.",
            ["state"],
            registry=self._registry,
        )
        self._recovered = Counter(
            "gateway_ledger_recovered",
            "Function calls that a dead process left open, by what came of them.",
            ["outcome"],
            registry=self._registry,
        )
        self._late = Counter(
            "gateway_late_results",
            "Late results of function calls, by our answer.",
            ["answer"],
            registry=self._registry,
        )
        self._deliveries = Counter(
            "gateway_deliveries",
            "Attempts to deliver events: delivered, failed, dead.",
            ["outcome"],
            registry=self._registry,
        )
        self._cost = Counter("gateway_cost_usd", "What priced calls cost.", registry=self._registry)

    def call_ended(self, direction: str, summary: Summary) -> None:
        self._calls.labels(direction, summary.reason).inc()
        self._duration.observe(summary.duration_s)
        for ms in summary.turns_ms:
            self._latency.observe(ms / 1000)
        self._barge_ins.inc(summary.barge_ins)
        self._false_barge_ins.inc(summary.false_barge_ins)
        self._dropped.inc(summary.dropped.answers)
        self._fillers.inc(summary.functions.fillers)
        self._unbacked.inc(summary.functions.claims_unbacked)
        self._corrected.inc(summary.functions.claims_corrected)
        self._renewals.inc(summary.recoveries)
        if summary.cost_usd is not None:
            self._cost.inc(float(summary.cost_usd))

    def call_refused(self, direction: str, why: str) -> None:
        self._calls.labels(direction, f"refused_{why}").inc()

    def tool_answered(self, outcome: str, elapsed_ms: int) -> None:
        self._tools.labels(outcome).observe(elapsed_ms / 1000)

    def ledger_replayed(self, state: str) -> None:
        self._replays.labels(state).inc()

    def ledger_recovered(self, outcome: str) -> None:
        self._recovered.labels(outcome).inc()

    def late_result(self, answer: str) -> None:
        self._late.labels(answer).inc()

    def delivery(self, outcome: str) -> None:
        self._deliveries.labels(outcome).inc()

    def page(self) -> bytes:
        """Return the exposition text."""
        return generate_latest(self._registry)
