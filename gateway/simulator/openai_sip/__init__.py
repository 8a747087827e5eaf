"""OpenAI's side of a SIP call: webhook sender, calls endpoints, sideband, and a caller on the line."""

from gateway.simulator.openai_sip.plan import SipFaults, SipPlan
from gateway.simulator.openai_sip.report import SipReport
from gateway.simulator.openai_sip.service import SipService

__all__ = ["SipFaults", "SipPlan", "SipReport", "SipService"]
