"""The local engine of the simulated Realtime server: see README.md in this folder."""

from gateway.simulator.local.engine import LocalEngine
from gateway.simulator.local.wer import word_errors

__all__ = ["LocalEngine", "word_errors"]
