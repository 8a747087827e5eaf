"""Simulators of the carriers beside Twilio, one file each, in one frame (`frame.py`)."""
