"""The agents file that goes with the sample business."""

from pathlib import Path

__all__ = ["ORIGIN", "agents_section", "business_part"]

ORIGIN = "http://127.0.0.1:8092"
"""Where the business listens when nobody says otherwise, and where `agents.yaml` sends everything."""

PART = "    # Who is calling?"
"""With this line begins what an agent has to do with the business."""


def agents_section(origin: str) -> str:
    """Return `agents.yaml` for a business at `origin`, ready to be saved as the gateway's agents file."""
    return Path(__file__).with_name("agents.yaml").read_text(encoding="utf-8").replace(ORIGIN, origin)


def business_part(origin: str) -> str:
    """Return of `agents_section` what any other agent of this business needs too: lookup, events and tools."""
    _, mark, rest = agents_section(origin).partition(PART)
    return mark + rest
