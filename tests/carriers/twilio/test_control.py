"""What is asked of the REST API for a transfer, and what becomes of its failures."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from twilio.http.response import Response

from gateway.carriers import errands, transfers
from gateway.carriers.base import CallOffer, Ended, LiveCall, Over, Resumed, TokenRefused
from gateway.carriers.transfers import Stage, Transfers
from gateway.carriers.twilio.control import TwilioControl
from gateway.carriers.twilio.rest import TwilioRest
from gateway.core.commands import CancelTransfer, CompleteTransfer, StartTransfer
from gateway.core.events import TransferProgress, TransferState
from gateway.core.plan import TransferMode
from gateway.errors import CarrierError
from tests.clock import run

pytestmark = pytest.mark.usefixtures("no_errors_logged")

CALLER_LEG, HUMAN_LEG, ACCOUNT = "CA" + "1" * 32, "CA" + "2" * 32, "AC" + "0" * 32
HUMAN, OURS, CALLER, SPARE = "+14155550150", "+14155550199", "+14155550101", "+14155550111"
CREATED, DONE = (201, {"sid": HUMAN_LEG}), (200, {"sid": CALLER_LEG})
GONE = (404, {"code": 20404, "message": "gone", "status": 404})
FAILED = (503, {"code": 20503, "message": "later", "status": 503})
REFUSED = (400, {"code": 21220, "message": "no", "status": 400})


@dataclass
class Api:
    """Twilio's answers in their order; the last is repeated. None: never."""

    answers: list[tuple[int, dict[str, Any]] | None]
    seen: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    is_async: bool = True

    async def request(self, method: str, url: str, **more: Any) -> Response:
        self.seen.append((url.rpartition("/")[2].removesuffix(".json"), dict(more.get("data") or {})))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        await asyncio.sleep(0.1)
        if answer is None:
            await asyncio.Event().wait()
            raise AssertionError
        return Response(answer[0], json.dumps(answer[1]))

    async def close(self) -> None:
        pass


@dataclass
class Calls:
    """A switchboard of which only what is told of transfers matters."""

    told: list[TransferState] = field(default_factory=list)

    def transfer_progress(self, carrier_call_id: str, progress: TransferProgress) -> None:
        assert (carrier_call_id, progress.transfer_id) == (CALLER_LEG, "t1")
        self.told.append(progress.state)

    def offer(self, offer: CallOffer, *, again: int = 0) -> str:
        raise Over

    def claim(self, token: str, carrier_call_id: str, account_id: str) -> LiveCall:
        raise TokenRefused

    def resume(self, carrier_call_id: str) -> Resumed:
        raise TokenRefused

    def hung_up(self, carrier_call_id: str) -> None: ...

    def outcome(self, carrier_call_id: str) -> Ended | None:
        return None


@dataclass
class Desk:
    """A control and what surrounds it."""

    control: TwilioControl
    api: Api
    calls: Calls

    @property
    def ticket(self) -> str:
        transfer = self.control.newest(CALLER_LEG)
        assert transfer is not None
        return transfer.ticket

    @property
    def hung_up(self) -> list[str]:
        return [sid for sid, form in self.api.seen if form == {"Status": "completed"}]

    async def start(self, offer: CallOffer | None = None, **more: object) -> None:
        await self.control.carry_out(offer or inbound(), warm(**more))

    async def accepted(self) -> None:
        await self.start()
        self.control.human_key(self.ticket, HUMAN_LEG, "1")


def inbound(from_: str = CALLER, to: str = OURS) -> CallOffer:
    return CallOffer("twilio", CALLER_LEG, ACCOUNT, "inbound", from_, to)


def outbound() -> CallOffer:
    return CallOffer("twilio", CALLER_LEG, ACCOUNT, "outbound", OURS, CALLER, "at_1 &x")


def warm(**more: object) -> StartTransfer:
    fields: dict[str, Any] = {
        "number": HUMAN,
        "mode": TransferMode.WARM,
        "brief": "",
        "accept_key": "1",
        "ring_s": 25.0,
    }
    return StartTransfer("t1", "sales", **(fields | more))


def at_desk(
    test: Callable[[Desk], Awaitable[None]],
    *answers: tuple[int, dict[str, Any]] | None,
    from_number: str | None = None,
    credentials: bool = True,
) -> Desk:
    """Run a test, then stop as the gateway does."""

    async def main() -> Desk:
        api, calls = Api(list(answers) or [DONE]), Calls()
        rest = TwilioRest(ACCOUNT, auth_token="t", open_http=lambda origin: api) if credentials else None
        desk = Desk(TwilioControl(rest, calls, "https://gw.example.com", from_number), api, calls)
        async with desk.control.running():
            await test(desk)
        return desk

    return run(main())


def refusal(test: Callable[[Desk], Awaitable[None]], *answers: tuple[int, dict[str, Any]], **more: Any) -> CarrierError:
    async def refused(desk: Desk) -> None:
        with pytest.raises(CarrierError) as error:
            await test(desk)
        errors.append(error.value)

    errors: list[CarrierError] = []
    at_desk(refused, *answers, **more)
    return errors[0]


# --- numbers --------------------------------------------------------------------------------------


def test_without_credentials_every_transfer_is_refused_for_good() -> None:
    error = refusal(Desk.start, credentials=False)
    assert (error.permanent, error.code) == (True, "no_credentials")


@pytest.mark.parametrize(
    ("offer", "from_number", "shown"),
    [
        (inbound(), SPARE, OURS),
        (outbound(), SPARE, OURS),
        (inbound(to="sip:desk@acme.sip.twilio.com"), SPARE, SPARE),
        (inbound(to="client:web"), SPARE, SPARE),
    ],
)
def test_a_human_is_called_from_a_number_of_ours(offer: CallOffer, from_number: str, shown: str) -> None:
    desk = at_desk(lambda desk: desk.start(offer), CREATED, from_number=from_number)
    assert desk.api.seen[0][1]["From"] == shown


def test_a_call_without_a_number_of_ours_cannot_be_transferred_warm() -> None:
    error = refusal(lambda desk: desk.start(inbound(to="client:web")))
    assert (error.permanent, error.code) == (True, "no_from_number")


@pytest.mark.parametrize("number", ["911", "sip:a@b.example", "+1", "4155550150", "+14155550150;ext=1", ""])
def test_only_complete_numbers_are_dialled(number: str) -> None:
    for mode in TransferMode:
        assert refusal(lambda desk, mode=mode: desk.start(number=number, mode=mode)).code == "not_e164"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("offer", "shown"),
    [
        (inbound(), None),
        (inbound(from_="anonymous"), OURS),
        (inbound(from_=""), OURS),
        (inbound(from_="sip:a@b.example"), OURS),
        (outbound(), OURS),
    ],
)
def test_a_dialled_human_sees_the_caller_or_a_number_of_ours(offer: CallOffer, shown: str | None) -> None:
    desk = at_desk(lambda desk: desk.start(offer, mode=TransferMode.BLIND))
    ((_, form),) = desk.api.seen
    assert (f'callerId="{shown}"' in form["Twiml"]) if shown else ("callerId" not in form["Twiml"])
    assert ("attempt=at_1+%26x" in form["Twiml"]) == (offer.direction == "outbound")


# --- what becomes of it ---------------------------------------------------------------------------


def test_a_brief_of_any_content_fits_into_the_request() -> None:
    desk = at_desk(lambda desk: desk.start(brief="<&>\x00\n\ud800" * 500, accept_key="#"), CREATED)
    twiml = desk.api.seen[0][1]["Twiml"]
    assert len(twiml) <= 4000
    assert "\x00" not in twiml and "<Say>&lt;&amp;&gt; &lt;" in twiml and "Press pound" in twiml


def test_cancelling_stops_the_ringing_and_a_leg_that_is_gone_is_fine() -> None:
    async def test(desk: Desk) -> None:
        await desk.start()
        await desk.control.carry_out(inbound(), CancelTransfer("t1"))
        await desk.control.carry_out(inbound(), CancelTransfer("t1"))
        desk.control.human_state(desk.ticket, HUMAN_LEG, "canceled")

    desk = at_desk(test, CREATED, GONE)
    assert desk.hung_up == [HUMAN_LEG]
    assert desk.calls.told == []


@pytest.mark.parametrize("mode", TransferMode)
def test_a_transfer_that_is_cancelled_at_once_is_never_asked_for(mode: TransferMode) -> None:
    async def test(desk: Desk) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(desk.start(mode=mode))
            group.create_task(desk.control.carry_out(inbound(), CancelTransfer("t1")))

    assert at_desk(test, CREATED).api.seen == []


def test_cancelling_another_transfer_changes_nothing() -> None:
    async def test(desk: Desk) -> None:
        await desk.start()
        await desk.control.carry_out(inbound(), CancelTransfer("t0"))

    assert at_desk(test, CREATED).hung_up == []


def test_hanging_up_is_tried_again_when_the_api_is_in_trouble() -> None:
    async def test(desk: Desk) -> None:
        await desk.start()
        desk.control.call_over(CALLER_LEG)
        await asyncio.sleep(10)

    assert at_desk(test, CREATED, FAILED, FAILED, DONE).hung_up == [HUMAN_LEG] * 3
    assert at_desk(test, CREATED, REFUSED).hung_up == [HUMAN_LEG]


def test_an_api_that_never_answers_does_not_keep_the_gateway_from_stopping() -> None:
    async def main() -> float:
        loop, api = asyncio.get_running_loop(), Api([CREATED, None])
        control = TwilioControl(TwilioRest(ACCOUNT, auth_token="t", open_http=lambda origin: api), Calls(), "x", OURS)
        async with control.running():
            await control.carry_out(inbound(), warm())
            control.call_over(CALLER_LEG)
            began = loop.time()
        return loop.time() - began

    assert run(main()) == errands.STOP_S


def test_nothing_is_begun_once_the_gateway_stops() -> None:
    async def main() -> None:
        api, calls = Api([CREATED]), Calls()
        control = TwilioControl(TwilioRest(ACCOUNT, auth_token="t", open_http=lambda origin: api), calls, "x", None)
        async with control.running():
            pass
        with pytest.raises(CarrierError):
            await control.carry_out(inbound(), warm())
        control.call_over(CALLER_LEG)
        assert api.seen == []

    run(main())


def test_who_asked_may_go_while_the_human_is_being_called() -> None:
    async def test(desk: Desk) -> None:
        asking = asyncio.create_task(desk.start())
        await asyncio.sleep(0.05)
        asking.cancel()
        desk.control.call_over(CALLER_LEG)
        await asyncio.sleep(1)

    assert at_desk(test, CREATED, DONE).hung_up == [HUMAN_LEG]


def test_a_new_transfer_lets_the_human_of_the_last_one_go() -> None:
    async def test(desk: Desk) -> None:
        await desk.start()
        await desk.start()
        await asyncio.sleep(1)

    assert at_desk(test, CREATED).hung_up == [HUMAN_LEG]


def test_a_human_who_has_gone_is_not_joined() -> None:
    async def test(desk: Desk) -> None:
        await desk.accepted()
        desk.control.human_state(desk.ticket, HUMAN_LEG, "completed")
        await desk.control.carry_out(inbound(), CompleteTransfer("t1"))

    assert refusal(test, CREATED).code == "human_gone"


def test_only_who_accepted_is_joined() -> None:
    async def test(desk: Desk) -> None:
        await desk.start()
        await desk.control.carry_out(inbound(), CompleteTransfer("t1"))

    assert refusal(test, CREATED).code == "human_gone"
    assert refusal(lambda desk: desk.control.carry_out(inbound(), CompleteTransfer("t1"))).code == "unknown_transfer"


def test_a_caller_whose_stream_ended_while_the_answer_was_lost_is_with_the_human() -> None:
    async def test(desk: Desk) -> None:
        await desk.accepted()
        completing = asyncio.create_task(desk.control.carry_out(inbound(), CompleteTransfer("t1")))
        await asyncio.sleep(0.05)
        desk.control.call_over(CALLER_LEG)
        await completing
        transfer = desk.control.newest(CALLER_LEG)
        assert transfer is not None and transfer.stage is Stage.TOGETHER

    assert at_desk(test, CREATED, FAILED).hung_up == []


def test_a_caller_who_is_still_there_when_the_answer_was_lost_is_not_with_the_human() -> None:
    async def test(desk: Desk) -> None:
        await desk.accepted()
        with pytest.raises(CarrierError):
            await desk.control.carry_out(inbound(), CompleteTransfer("t1"))
        await asyncio.sleep(0.5)

    assert at_desk(test, CREATED, FAILED, DONE).hung_up == [HUMAN_LEG]


@pytest.mark.parametrize("who", ["caller", "human"])
def test_who_stays_behind_in_the_conference_is_let_go(who: str) -> None:
    async def test(desk: Desk) -> None:
        await desk.accepted()
        await desk.control.carry_out(inbound(), CompleteTransfer("t1"))
        desk.control.call_over(CALLER_LEG)
        ticket = desk.ticket
        if who == "caller":
            desk.control.caller_gone(CALLER_LEG)
        desk.control.human_state(ticket, HUMAN_LEG, "completed")
        desk.control.caller_gone(CALLER_LEG)

    desk = at_desk(test, CREATED, DONE)
    assert desk.hung_up == [HUMAN_LEG if who == "caller" else CALLER_LEG]


def test_what_is_remembered_is_bounded_and_live_transfers_are_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfers, "KEPT", 10)
    book = Transfers()
    live = book.open("CA-live", warm())
    for number in range(100):
        book.open(f"CA{number}", warm()).stage = Stage.OVER
    assert len(book) <= 11
    assert book.find(live.ticket) is live and book.of_call("CA-live") is live
    assert book.of_call("CA0") is None and book.of_call("CA99") is not None
