"""The agents file that goes with the sample business."""

from pathlib import Path

__all__ = ["ORIGIN", "agents_section"]

ORIGIN = "http://127.0.0.1:8092"
"""Where the business listens when nobody says otherwise, and where `agents.yaml` sends everything."""


def agents_section(origin: str) -> str:
    """Return `agents.yaml` for a business at `origin`, ready to be saved as the gateway's agents file."""
    return Path(__file__).with_name("agents.yaml").read_text(encoding="utf-8").replace(ORIGIN, origin)
