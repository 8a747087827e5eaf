"""The gateway's own ear: a second opinion on what the caller does, from a copy of the audio. See README.md."""

from gateway.hearing.ear import Ear
from gateway.hearing.options import EarOptions
from gateway.hearing.tones import ToneDetector

__all__ = ["Ear", "EarOptions", "ToneDetector"]
