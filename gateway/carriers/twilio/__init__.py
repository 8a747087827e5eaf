"""Twilio: Media Streams, TwiML and the Calls API. Its door is always there and is made in `gateway/doors.py`."""

__all__ = ["CAPABILITIES"]

CAPABILITIES = {
    "audio": "mu-law",
    "marks": "echoed",
    "after_clear": "marks returned",
    "dtmf_in": "socket",
    "dtmf_out": "tones",
    "hang_up": "TwiML, REST",
    "transfer_blind": "REST",
    "transfer_warm": "REST, conference",
    "comes_back": "yes",
    "upgrade_auth": "signature, token",
    "webhook_auth": "HMAC-SHA1",
    "silence": "not needed",
}
