"""The call of the demo: who is called, what the agent knows, what the caller says. All names and numbers are invented.

The caller reacts to what is heard, never to the clock: every step waits for the agent, so a slow machine makes the
call longer and nothing else.
"""

from collections.abc import Mapping

from gateway.business import business_part
from gateway.simulator.carrier import BargeIn, Say, Script, Wait
from gateway.simulator.carrier.script import Step
from gateway.simulator.clips import Clip

__all__ = [
    "BOOK",
    "CALLER",
    "LOOK_UP",
    "NAME",
    "NUMBER",
    "ORDER",
    "STATUS",
    "TIME",
    "TURNS",
    "agents_yaml",
    "caller_script",
]

NUMBER = "+14155550199"
CALLER = "+14155550101"
NAME = "Sam"
"""Of the caller, as the business knows it; the agent's first words hold it."""
ORDER = "427"
"""The order the caller asks about, as the clip says it."""
STATUS = "on the way"
"""What the business answers, and what must be heard in the recording. Chosen because a synthesiser says it clearly."""
LOOK_UP, BOOK = "look_up_order", "book_appointment"
"""The functions that are called, each once; the second changes something."""
TIME = "10:30"
"""When the appointment is, on a Tuesday."""
TURNS = (
    "order-01-am_michael",
    "bill-01-am_michael",
    "barge-03-am_michael",
    "appt-01-am_michael",
    "bye-02-am_michael",
)
"""The caller's clips in order; the third interrupts the answer to the second."""

WITHIN_S = 30.0
"""How long the caller waits for the agent before giving up."""

AGENTS = """\
# The agents file of the demo, written by `gateway demo`.
agents:
  orders:
    numbers: ["{number}"]
    voice: cedar
    greeting: Hello {{{{name}}}}, this is Acme. What can I do for you?
    instructions: |
      You answer the telephone of Acme, a shop for garden tools. Be friendly, and brief unless money is concerned.
      Look up an order before you speak of it, and say its status in the very words of the system.
      Never say that you have done something before the function has told you so.
      A credit card that was charged twice is put right by the bank: the second charge is taken back after five working days, and the money will be on the card again at the end of the month, so there is nothing to do but wait, and to call us again if it is not there by then.
    recording: true
    transcription: {{model: gpt-transcribe}}
    turn_detection: {{type: server_vad, threshold: 0.5, prefix_padding_ms: 300, silence_duration_ms: 500}}
    limits: {{max_duration_s: 110, max_cost_usd: 1.0}}
    fallback: {{say: "Sorry, something went wrong. Please call again later."}}
"""  # noqa: E501 - one sentence of the instructions is one line, which is how the local engine reads them


def agents_yaml(business: str) -> str:
    """Return the agents file; `business` is the origin of the sample business."""
    return AGENTS.format(number=NUMBER) + business_part(business)


def caller_script(clips: Mapping[str, Clip], *, fast: bool, patient: bool = False) -> Script:
    """Return what the caller does. `fast` leaves out pauses that only a listener needs.

    `patient` is for a real model, which may pause between "one moment" and its answer.
    """
    quiet_ms = 2500 if patient else 500 if fast else 900
    listen_ms = 2000 if fast else 4000
    order, billing, interruption, appointment, goodbye = (clips[name] for name in TURNS)
    wait = Wait("agent_done", WITHIN_S, quiet_ms)
    steps: list[Step] = [
        *(wait, Say(order.audio, order.name)),
        *(wait, Say(billing.audio, billing.name)),
        BargeIn(interruption.audio, listen_ms, WITHIN_S, interruption.name),
        *(wait, Say(appointment.audio, appointment.name)),
        *(wait, Say(goodbye.audio, goodbye.name)),
    ]
    return Script(steps, stay_s=WITHIN_S, name="asks for an order, interrupts, books an appointment")
