"""The agents file: which number reaches which agent, what it says, hears, may do and may cost.

Read once, frozen, and checked whole: every mistake of the file is one line with its place (`agentfile.py`).
Values that decide how a call feels are explicit defaults here, never left to the API, whose own have changed.
"""

from gateway.agents.agent import DEFAULT_MODEL, Agent, Fallback, Limits, Transcription
from gateway.agents.behaviour import BargeIn, EarlyReply, Idle, Transfer, TransferEntry
from gateway.agents.file import AgentsFile, load_agents, schema
from gateway.agents.functions import HANG_UP, HANG_UP_TOOL
from gateway.agents.tool import Tool, resolve_secret
from gateway.agents.turns import Manual, SemanticVad, ServerVad, TurnDetection, TurnPreset, turn_taking

__all__ = [
    "DEFAULT_MODEL",
    "HANG_UP",
    "HANG_UP_TOOL",
    "Agent",
    "AgentsFile",
    "BargeIn",
    "EarlyReply",
    "Fallback",
    "Idle",
    "Limits",
    "Manual",
    "SemanticVad",
    "ServerVad",
    "Tool",
    "Transcription",
    "Transfer",
    "TransferEntry",
    "TurnDetection",
    "TurnPreset",
    "load_agents",
    "resolve_secret",
    "schema",
    "turn_taking",
]
