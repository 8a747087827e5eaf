"""A simulated telephone network, correct against Twilio's documentation."""

from gateway.simulator.carrier.network import TwilioNetwork
from gateway.simulator.carrier.plan import CallbackFaults, Callee, CallPlan, DialOutcome, LineModel, OutboundRequest
from gateway.simulator.carrier.report import CallReport, heard_prefix_ms
from gateway.simulator.carrier.rest import TwilioRest
from gateway.simulator.carrier.script import BargeIn, Dtmf, HangUp, Pause, Say, Script, Wait, load_script, parse_script
from gateway.simulator.carrier.tones import tone

__all__ = [
    "BargeIn",
    "CallPlan",
    "CallReport",
    "CallbackFaults",
    "Callee",
    "DialOutcome",
    "Dtmf",
    "HangUp",
    "LineModel",
    "OutboundRequest",
    "Pause",
    "Say",
    "Script",
    "TwilioNetwork",
    "TwilioRest",
    "Wait",
    "heard_prefix_ms",
    "load_script",
    "parse_script",
    "tone",
]
