"""Browsers as callers, over WebRTC: see README.md. Its door is the console's (`gateway.console`).

Nothing of it is imported here: aiortc is an optional dependency.
"""

__all__ = ["CAPABILITIES"]

CAPABILITIES: dict[str, str] = {
    "audio": "mu-law",
    "marks": "clock",
    "after_clear": "none sent",
    "dtmf_in": "data channel",
    "dtmf_out": "tones",
    "hang_up": "connection",
    "transfer_blind": "no",
    "transfer_warm": "no",
    "comes_back": "no",
    "upgrade_auth": "cookie, Origin",
    "webhook_auth": "none comes",
    "silence": "ours, always",
}
