"""Telephony voice agent gateway: phone calls in and out, G.711 straight to a realtime model."""
