"""Somebody whom an application has Telnyx call: the other leg of a transfer, or one that is bridged later."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gateway.simulator.carriers.people import Human as Answered

if TYPE_CHECKING:
    from gateway.simulator.carriers.telnyx import TelnyxDialect

__all__ = ["Human"]

CAUSES = {"busy": "user_busy", "no-answer": "timeout", "failed": "not_found", "rejected": "call_rejected"}


class Human:
    """One leg. It tells `call.initiated`, `call.answered`, `call.bridged`, `call.hangup`, all with its own state."""

    def __init__(self, dialect: "TelnyxDialect", leg: str, number: str, state: str | None) -> None:
        self.leg = leg
        self.answered = asyncio.Event()
        self.accepted = asyncio.Event()
        """`bridge` was asked for."""
        self.gone = asyncio.Event()
        self._dialect = dialect
        self._number = number
        self._state = state
        self._let_go = asyncio.Event()
        self._heard: Answered | None = None
        self._keys: asyncio.Queue[str] = asyncio.Queue()

    async def bring(self, timeout_s: float, *, apart: bool = False) -> None:
        """Ring; connect with the caller at once, or, `apart`, when `bridge` asks for it. The caller's leg ends with
        the conversation."""
        self.tell("call.initiated", direction="outgoing", state="bridging")
        whisper = self._whisper if apart else None
        call = self._dialect.call
        async with asyncio.TaskGroup() as group:
            ringing = group.create_task(call.dial(self._number, timeout_s=timeout_s, told=self._told, whisper=whisper))
            letting_go = group.create_task(self._let_go.wait())
            await asyncio.wait([ringing, letting_go], return_when=asyncio.FIRST_COMPLETED)
            letting_go.cancel()
            ringing.cancel()
        if ringing.cancelled():
            return await self.over("originator_cancel")
        how = ringing.result().status
        await self.over(CAUSES.get(how, "normal_clearing"))
        if how == "completed":
            call.hang_up("instructions")

    async def over(self, cause: str) -> None:
        """Tell the end of the leg, once."""
        if not self.gone.is_set():
            self.gone.set()
            await self._dialect.deliver("call.hangup", leg=self.leg, client_state=self._state, hangup_cause=cause)

    # --- commands of this leg -----------------------------------------------------------------

    def hangup(self, body: Mapping[str, Any]) -> None:
        self._let_go.set()

    def gather_using_speak(self, body: Mapping[str, Any]) -> None:
        self._dialect.call.spawn(self._gather(body))

    def speak(self, body: Mapping[str, Any]) -> None:
        async def speak() -> None:
            await self._say(str(body["payload"]))
            self.tell("call.speak.ended", status="completed")

        self._dialect.call.spawn(speak())

    async def _gather(self, body: Mapping[str, Any]) -> None:
        digit = ""
        for _ in range(int(body.get("maximum_tries", 3))):
            await self._say(str(body["payload"]))
            self.tell("call.speak.ended", status="completed")
            try:
                async with asyncio.timeout(float(body.get("timeout_millis", 60_000)) / 1000):
                    digit = await self._keys.get()
                break
            except TimeoutError:
                continue
        self.tell("call.gather.ended", digits=digit, status="valid" if digit else "timeout")

    async def _say(self, text: str) -> None:
        if self._heard is not None:
            await self._heard.line.announce(text)

    # --- what happens to it -------------------------------------------------------------------

    def tell(self, kind: str, **payload: object) -> None:
        self._dialect.tell(kind, leg=self.leg, client_state=self._state, **payload)

    def _told(self, state: str) -> None:
        if state == "answered":
            self.answered.set()
            self.tell("call.answered")
        elif state == "bridged":
            self.tell("call.bridged")
            self._dialect.tell("call.bridged")

    async def _whisper(self, human: Answered) -> bool:
        self._heard = human
        human.line.pressed = self._keys.put_nowait
        await self.accepted.wait()
        human.line.pressed = None
        return True
