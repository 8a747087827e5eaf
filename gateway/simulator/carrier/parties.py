"""Somebody at a number, by what they do when it rings: the people a call is transferred to."""

from dataclasses import dataclass

from gateway.simulator.carrier.plan import Callee
from gateway.simulator.carrier.script import Dtmf, HangUp, Pause, Say, Script, Wait

__all__ = ["Party", "accepts", "answers", "busy", "hangs_up", "machine", "presses", "rejects", "silent", "unreachable"]


@dataclass(slots=True, frozen=True)
class Party:
    """A telephone of the network, reached by `<Dial>` and by REST."""

    number: str
    """E.164, or `sip:user@host`."""
    behaviour: Callee


def answers(*, ring_s: float = 2.0, talk_s: float = 30.0, says: bytes = b"") -> Callee:
    """Answer, speak, and hang up after `talk_s`."""
    return Callee(ring_s=ring_s, script=Script([Say(says)] if says else [], stay_s=talk_s))


def presses(
    keys: str, *, ring_s: float = 2.0, talk_s: float = 30.0, quiet_ms: int = 400, within_s: float = 30.0
) -> Callee:
    """Answer, hear the brief to its end, press keys (the right one or another), and stay for `talk_s`."""
    brief = Wait("agent_done", within_s, quiet_ms)
    return Callee(ring_s=ring_s, script=Script([brief, Dtmf(keys)], stay_s=talk_s))


def accepts(keys: str, *, ring_s: float = 2.0, talk_s: float = 30.0) -> Callee:
    """Answer, press keys whether asked to or not, and stay for `talk_s`: takes warm and blind transfers alike."""
    return Callee(ring_s=ring_s, script=Script([Pause(1.0), Dtmf(keys)], stay_s=talk_s))


def hangs_up(*, after_s: float = 1.0, ring_s: float = 2.0) -> Callee:
    """Answer, and hang up during the brief."""
    return Callee(ring_s=ring_s, script=Script([Pause(after_s), HangUp()]))


def machine(announcement: bytes, *, ring_s: float = 2.0, records_s: float = 60.0) -> Callee:
    """A machine answers, talks, listens for `records_s` and never presses a key."""
    return Callee(ring_s=ring_s, script=Script([Say(announcement)], stay_s=records_s), answered_by="machine_start")


def busy(*, after_s: float = 1.0) -> Callee:
    return Callee(outcome="busy", ring_s=after_s)


def rejects(*, ring_s: float = 3.0) -> Callee:
    """Somebody looks at the telephone and declines. Twilio's call status knows no more of it than `busy`."""
    return Callee(outcome="busy", ring_s=ring_s)


def silent() -> Callee:
    """It rings until the caller gives up."""
    return Callee(outcome="no-answer")


def unreachable() -> Callee:
    """The number does not exist."""
    return Callee(outcome="failed")
