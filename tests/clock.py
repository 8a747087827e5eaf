"""The virtual clock of `gateway/simulator`, under the name by which tests know it."""

from gateway.simulator.clock import ClockLoop, run

__all__ = ["ClockLoop", "run"]
