"""The pure call core: one event and the time in, commands out. The law is in `call.py`."""

from gateway.core.call import Call, Phase
from gateway.core.plan import CallPlan, TurnMode, TurnTaking

__all__ = ["Call", "CallPlan", "Phase", "TurnMode", "TurnTaking"]
