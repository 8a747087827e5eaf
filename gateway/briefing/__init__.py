"""What is known before the first word of a call: what the business says of the caller, and what went before."""

from gateway.briefing.briefer import Briefer, Briefing
from gateway.briefing.past import PAST_S

__all__ = ["PAST_S", "Briefer", "Briefing"]
