"""`gateway demo`: a whole call on one machine, to hear and see. See README.md in this folder."""

from gateway.demo.options import DemoOptions
from gateway.demo.run import run_demo

__all__ = ["DemoOptions", "run_demo"]
