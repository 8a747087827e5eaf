"""The model side: the OpenAI Realtime API (GA protocol), and servers compatible with it."""

from gateway.realtime.connection import ModelTarget, RealtimeConnection

__all__ = ["ModelTarget", "RealtimeConnection"]
