"""Turns, interruptions and goodbyes, measured: see README.md in this folder."""

from gateway.simulator.turns.command import PARTS, run_turns
from gateway.simulator.turns.part import Plan

__all__ = ["PARTS", "Plan", "run_turns"]
