"""A simulated telephone network, correct against Twilio's documentation."""

from gateway.simulator.carrier.heard import Clear, PlayedRun, StreamLog
from gateway.simulator.carrier.network import TwilioNetwork
from gateway.simulator.carrier.parties import Party
from gateway.simulator.carrier.plan import (
    CallbackFaults,
    Callee,
    CallPlan,
    DialOutcome,
    LineModel,
    OutboundRequest,
    Surroundings,
)
from gateway.simulator.carrier.report import CallReport, heard_prefix_ms
from gateway.simulator.carrier.rest import TwilioRest
from gateway.simulator.carrier.script import Backchannel, BargeIn, Dtmf, HangUp, Key, Pause, Say, Script, Wait
from gateway.simulator.carrier.scriptfile import load_script, parse_script
from gateway.simulator.carrier.tones import key_tone, tone

__all__ = [
    "Backchannel",
    "BargeIn",
    "CallPlan",
    "CallReport",
    "CallbackFaults",
    "Callee",
    "Clear",
    "DialOutcome",
    "Dtmf",
    "HangUp",
    "Key",
    "LineModel",
    "OutboundRequest",
    "Party",
    "Pause",
    "PlayedRun",
    "Say",
    "Script",
    "StreamLog",
    "Surroundings",
    "TwilioNetwork",
    "TwilioRest",
    "Wait",
    "heard_prefix_ms",
    "key_tone",
    "load_script",
    "parse_script",
    "tone",
]
