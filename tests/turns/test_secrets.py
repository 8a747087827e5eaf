"""A card number keyed in, in-band, and spoken over, is found nowhere but in the vault; where it is no secret it is."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gateway.simulator.carrier import Dtmf, HangUp, Pause, Say, Script, Wait
from gateway.simulator.carrier.script import Key, Step
from gateway.simulator.model import Scenario
from tests.faults.calls import SPEECH, until
from tests.turns.calls import Called, Desk, Meanwhile, agent, call, clip, keep, scenario
from tests.turns.scan import channels, digits_in, leaks

CARD = "4111111111111111"
OVER = clip("card-02-bm_george")
AGENT = agent("recording: true", "collect_digits: true")
PROMPT = "Please key in your card number."


def pays(*, secure: bool, think_ms: int = 0) -> Scenario:
    """A model that takes a card number by its function, and asks a webhook afterwards."""
    arguments = {"max_digits": 19, "min_digits": 16, "terminator": "#", "secure": secure, "prompt": PROMPT}
    return scenario(
        turns=[
            {
                "heard": "I want to pay",
                "calls": [{"name": "collect_digits", "arguments": arguments}],
                "result": "Thank you, that was all.",
                "think_ms": think_ms,
            },
            {
                "heard": "where is my order",
                "calls": [{"name": "lookup_order", "arguments": {"order_id": "77"}}],
                "result": "It is {status}.",
            },
        ],
        server={"keep_audio": True},
    )


def keyed(digits: str, start_ms: int, every_ms: int = 500) -> Sequence[Key]:
    return [Key(start_ms + number * every_ms, digit) for number, digit in enumerate(digits)]


def payer(early: str = "", late: str = "", *, in_band: bool = True) -> Script:
    """Keys the card over their own voice, `early` of it before they are asked, `late` superfluous keys behind it."""
    rest = CARD[len(early) :] + "#"
    before: list[Step] = [Dtmf(early, in_band=False)] if early else []
    after: list[Step] = [Dtmf(late, in_band=in_band)] if late else []
    return Script(
        [
            Wait("agent_done"),
            Say(SPEECH),
            *before,
            Pause(2.5 if not early else 0.9),
            Say(OVER, "card", keys=keyed(rest, 300), in_band=in_band),
            *after,
            Wait("agent_done"),
            Say(SPEECH),
            Wait("agent_done"),
            HangUp(),
        ]
    )


@dataclass
class Taken:
    """A call with a secret in it."""

    called: Called
    leaks: dict[str, str]
    redeemed: list[str] = field(default_factory=list)
    """What the tokens brought."""


async def redeem(desk: Desk, redeemed: list[str]) -> None:
    """Wait for a token and redeem it, twice."""
    await until(lambda: "vault_" in "".join(desk.w.session.texts()), 90)
    text = next(text for text in desk.w.session.texts() if "vault_" in text)
    token = next(part for part in text.split('"') if part.startswith("vault_"))
    redeemed.append((await desk.redeem(token)).json()["digits"])
    assert (await desk.redeem(token)).status_code == 404


def taken(
    folder: Path,
    caplog: pytest.LogCaptureFixture,
    says: Scenario,
    script: Script,
    ask: Meanwhile | None = None,
    *,
    secure: bool = True,
) -> Taken:
    """Run the call and scan what it left; `ask` is what an operator does first."""
    caplog.set_level(logging.DEBUG)
    redeemed: list[str] = []

    async def meanwhile(desk: Desk) -> None:
        if ask is not None:
            await ask(desk)
        if secure:
            await redeem(desk, redeemed)

    called = call(folder, says, script, agents=AGENT, meanwhile=meanwhile)
    page = called.w.gateway.metrics.page().decode()
    return Taken(called, leaks(called, CARD, caplog.messages, page), redeemed)


def hidden_audio(called: Called) -> bytes:
    """Return what the recording has of the caller from the first hidden key to a second after the last."""
    keys = [entry.at_s for entry in called.w.journal if entry.kind == "Dtmf" and entry.data["digit"] == "•"]
    (began_s,) = called.at("StreamStarted")
    path = called.w.record.recording_path
    assert path is not None
    first, last = (round((at_s - began_s) * 8000) for at_s in (keys[0], keys[-1] + 1.0))
    return channels(path)[0][first:last]


def test_a_card_number_is_nowhere_but_in_the_vault(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    paid = taken(tmp_path, caplog, pays(secure=True), payer())
    paid.called.faultless()
    assert paid.redeemed == [CARD]
    assert paid.leaks == {}
    assert "vault_" not in repr(paid.called.w.journal)
    assert paid.called.said[-1] == "It is shipped."
    audio = hidden_audio(paid.called)
    assert len(audio) > 8 * 8000 and set(audio) <= {0xFF, 0x7F}
    said_s = next(deed.at_s for deed in paid.called.report.deeds if deed.detail == str(len(OVER) // 8))
    (began_s,) = paid.called.at("StreamStarted")
    assert not paid.called.session.caller.sounded(began_s + said_s + 0.1, began_s + said_s + 8.0)


def test_the_scan_finds_a_number_that_is_no_secret(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    paid = taken(tmp_path, caplog, pays(secure=False), payer(), secure=False)
    assert {"sound at the model", "recording of the caller", "model", "journal, key by key"} <= paid.leaks.keys()
    keep(paid.called, tmp_path / "calls.db")
    assert digits_in((tmp_path / "calls.db").read_bytes().decode("latin-1"), CARD)


def test_keys_pressed_before_the_function_call_arrives_belong_to_the_entry(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paid = taken(tmp_path, caplog, pays(secure=True, think_ms=1000), payer(early="411"))
    paid.called.faultless()
    assert paid.redeemed == [CARD]
    assert paid.leaks == {}
    assert [key["digit"] for key in paid.called.kinds("Dtmf")] == [*"411", *"•" * 14]


@pytest.mark.parametrize("late", ["1111", "1#1111"])
def test_superfluous_keys_are_hidden_too(tmp_path: Path, caplog: pytest.LogCaptureFixture, late: str) -> None:
    paid = taken(tmp_path, caplog, pays(secure=True), payer(late=late))
    paid.called.faultless()
    assert paid.redeemed == [CARD]
    assert paid.leaks == {}
    assert "pressed these keys" not in paid.called.texts


def test_the_rest_of_a_number_is_hidden_when_the_caller_paused_for_too_long(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    says = pays(secure=True).model_copy(deep=True)
    says.turns[0].calls[0].arguments["min_digits"] = 1  # type: ignore[index]  # an object
    pauses = Script(
        [
            Wait("agent_done"),
            Say(SPEECH),
            Wait("agent_done"),
            Dtmf(CARD[:12], in_band=True),
            Pause(5.0),
            Dtmf(CARD[12:] + "#", in_band=True),
            Pause(5.0),
            HangUp(),
        ]
    )
    paid = taken(tmp_path, caplog, says, pauses)
    assert paid.redeemed == [CARD[:12]]
    # The tone of the first key that comes unexpectedly is half over when the carrier tells of it.
    assert {place: keys for place, keys in paid.leaks.items() if len(keys) > 1} == {}


def test_the_secret_of_an_operators_entry_is_nowhere_but_in_the_vault(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def ask(desk: Desk) -> None:
        await desk.at(4.0)
        await desk.done("collect_digits", max_digits=19, min_digits=16, secure=True, prompt=PROMPT)

    script = Script([Wait("agent_done"), Pause(3.0), Say(OVER, "card", keys=keyed(CARD + "#", 300), in_band=True)])
    paid = taken(tmp_path, caplog, scenario(server={"keep_audio": True}), script, ask)
    paid.called.faultless()
    assert paid.redeemed == [CARD]
    assert paid.leaks == {}


def test_a_database_holds_nothing_of_a_secret(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    paid = taken(tmp_path, caplog, pays(secure=True), payer(late="1111"))
    keep(paid.called, tmp_path / "calls.db")
    for file in tmp_path.glob("calls.db*"):
        assert not digits_in(file.read_bytes().decode("latin-1"), CARD)
