"""Which doors a deployment has, and who places its calls."""

import pytest

from gateway.carriers.twilio.rest import TwilioRest
from gateway.config import Settings
from gateway.doors import open_outbound

SID = "AC" + "0" * 32
TELNYX = {"telnyx_public_key": "A" * 43 + "=", "telnyx_api_key": "KEY"}


@pytest.mark.parametrize(
    ("more", "twilio", "name"),
    [
        ({}, False, None),
        ({}, True, "twilio"),
        (TELNYX, False, None),
        ({**TELNYX, "telnyx_connection_id": "1494404757140276705"}, False, "telnyx"),
        ({**TELNYX, "telnyx_connection_id": "1494404757140276705"}, True, "twilio"),
    ],
)
def test_calls_are_placed_by_twilio_else_by_telnyx(more: dict[str, object], twilio: bool, name: str | None) -> None:
    settings = Settings.alone({"public_url": "https://gw.example.com", **more})
    placing = open_outbound(settings, TwilioRest(SID, auth_token="t" * 32) if twilio else None, None)
    assert (placing.name if placing is not None else None) == name


def test_a_door_is_open_where_its_first_setting_is_there() -> None:
    assert Settings.alone({"public_url": "https://gw.example.com"}).doors == []
    more = {**TELNYX, "plivo_auth_token": "t", "asterisk_password": "p"}
    assert Settings.alone({"public_url": "https://gw.example.com", **more}).doors == ["telnyx", "plivo", "asterisk"]
