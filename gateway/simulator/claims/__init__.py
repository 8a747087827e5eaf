"""How well claims are found, on labelled sentences: see README.md in this folder."""

from gateway.simulator.claims.command import run_claims

__all__ = ["run_claims"]
