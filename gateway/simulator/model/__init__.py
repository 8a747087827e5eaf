"""A Realtime API server (GA protocol) that runs anywhere: over loopback or in process, on any clock."""

from gateway.simulator.model.admission import UpgradeRefused
from gateway.simulator.model.hearing import EnergyVad
from gateway.simulator.model.options import ModelOptions
from gateway.simulator.model.received import CallerSound, Refusal
from gateway.simulator.model.record import Deletion, FunctionOutput, SessionRecord, Spoken, Truncation
from gateway.simulator.model.replies import MadeCall, Reply
from gateway.simulator.model.scenario import Scenario, load_scenario, parse_scenario
from gateway.simulator.model.scripted import ScriptedEngine
from gateway.simulator.model.server import ModelServer
from gateway.simulator.model.session import RealtimeSession

__all__ = [
    "CallerSound",
    "Deletion",
    "EnergyVad",
    "FunctionOutput",
    "MadeCall",
    "ModelOptions",
    "ModelServer",
    "RealtimeSession",
    "Refusal",
    "Reply",
    "Scenario",
    "ScriptedEngine",
    "SessionRecord",
    "Spoken",
    "Truncation",
    "UpgradeRefused",
    "load_scenario",
    "parse_scenario",
]
