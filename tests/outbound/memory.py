"""An attempt store in memory, with the promises of `AttemptStore`."""

from dataclasses import replace

from gateway.outbound.attempts import Attempt, AttemptState, may_follow


class MemoryAttempts:
    """Keeps every attempt; `written` is the order of states that were committed."""

    def __init__(self) -> None:
        self.rows: dict[str, Attempt] = {}
        self.written: list[AttemptState] = []
        self.opt_outs: set[str] = set()

    async def create_attempt(self, attempt: Attempt) -> bool:
        if attempt.attempt_id in self.rows:
            return False
        self.rows[attempt.attempt_id] = attempt
        self.written.append(attempt.state)
        return True

    async def attempt_updated(
        self,
        attempt_id: str,
        state: AttemptState,
        *,
        carrier_call_id: str | None = None,
        reason: str | None = None,
        sequence: int | None = None,
    ) -> None:
        row = self.rows[attempt_id]
        row = replace(row, carrier_call_id=row.carrier_call_id or carrier_call_id)
        if may_follow(row.state, state):
            row = replace(row, state=state, reason=reason or row.reason)
            self.written.append(state)
        self.rows[attempt_id] = row

    async def get_attempt(self, attempt_id: str) -> Attempt | None:
        return self.rows.get(attempt_id)

    async def opted_out(self, number: str) -> bool:
        return number in self.opt_outs
