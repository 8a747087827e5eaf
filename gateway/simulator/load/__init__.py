"""Many calls at once through a gateway process: what is lost, how late it is, and what faults do."""

from gateway.simulator.load.processes import LoadFailed
from gateway.simulator.load.run import run_load

__all__ = ["LoadFailed", "run_load"]
