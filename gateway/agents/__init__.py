"""The agents file: which number reaches which agent, what it says, hears, may do and may cost.

Read once, frozen, and checked whole: every mistake of the file is one line with its place (`agentfile.py`).
Values that decide how a call feels are explicit defaults here, never left to the API, whose own have changed.
"""

from gateway.agents.agent import DEFAULT_MODEL, Agent, Fallback, Limits, Transcription
from gateway.agents.around import Callbacks, Events, EventType, Lookup
from gateway.agents.behaviour import BargeIn, EarlyReply, Idle, Transfer, TransferEntry
from gateway.agents.file import AgentsFile, load_agents, schema
from gateway.agents.functions import HANG_UP, HANG_UP_TOOL
from gateway.agents.imports import ImportedTool, Mcp, OpenApi
from gateway.agents.outside import Auth, resolve_secret
from gateway.agents.policy import Bound, PolicyOverrides, ToolLimits, ToolPolicy, Waiting
from gateway.agents.tool import Tool
from gateway.agents.turns import Manual, SemanticVad, ServerVad, TurnDetection, TurnPreset, turn_taking

__all__ = [
    "DEFAULT_MODEL",
    "HANG_UP",
    "HANG_UP_TOOL",
    "Agent",
    "AgentsFile",
    "Auth",
    "BargeIn",
    "Bound",
    "Callbacks",
    "EarlyReply",
    "EventType",
    "Events",
    "Fallback",
    "Idle",
    "ImportedTool",
    "Limits",
    "Lookup",
    "Manual",
    "Mcp",
    "OpenApi",
    "PolicyOverrides",
    "SemanticVad",
    "ServerVad",
    "Tool",
    "ToolLimits",
    "ToolPolicy",
    "Transcription",
    "Transfer",
    "TransferEntry",
    "TurnDetection",
    "TurnPreset",
    "Waiting",
    "load_agents",
    "resolve_secret",
    "schema",
    "turn_taking",
]
