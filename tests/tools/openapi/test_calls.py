"""Imported functions called over sockets: what the two businesses really received, and what the model was told."""

import asyncio
import json
from collections.abc import Callable, Mapping

import pytest
from fastapi import FastAPI
from standardwebhooks import Webhook

from gateway.tools.request import ToolOutcome

from .businesses import Reservation, clinic, hotel
from .world import CLINIC, HOTEL, SECRET, Seen, invoke, serving, tools

AWKWARD = "a/b ?x=1&y=2#é 東京 %2F+ ;"
STAY = {"house": "BGO1", "arrival": "2027-03-01", "departure": "2027-03-04", "room_type": "double"}


def called(
    api: Callable[[Seen], FastAPI],
    document: str,
    name: str,
    arguments: Mapping[str, object],
    *,
    base: str = "",
    secret: str | None = SECRET,
    **more: object,
) -> tuple[ToolOutcome, Seen]:
    seen = Seen()

    async def main() -> ToolOutcome:
        async with asyncio.timeout(30), serving(api(seen)) as url:
            offered = tools(document, server=url + base, **more)
            return await invoke(offered[name], arguments, secret=secret)

    return asyncio.run(main()), seen


def at_hotel(name: str, arguments: Mapping[str, object], **more: object) -> tuple[ToolOutcome, dict[str, object]]:
    outcome, seen = called(hotel, HOTEL, name, arguments, base="/v4", **more)  # type: ignore[arg-type]
    ((operation, values),) = seen.calls
    assert operation == name
    return outcome, values


def at_clinic(name: str, arguments: Mapping[str, object], **more: object) -> tuple[ToolOutcome, dict[str, object]]:
    outcome, seen = called(clinic, CLINIC, name, arguments, **more)  # type: ignore[arg-type]
    ((_, values),) = seen.calls
    return outcome, values


def test_a_deep_object_a_comma_list_and_a_header_arrive() -> None:
    outcome, values = at_hotel(
        "listHouses",
        {
            "city": AWKWARD,
            "amenities": ["spa", "pets"],
            "near": {"lat": 60.39, "lon": 5.0, "radius_km": 3},
            "Accept-Language": "no",
        },
    )
    assert (outcome.ok, outcome.output) == (True, '[{"code":"BGO1","name":"Larkspur Bryggen"}]')
    assert values == {
        "city": AWKWARD,
        "amenities": "spa,pets",
        "near": {"lat": "60.39", "lon": "5", "radius_km": "3"},
        "language": "no",
    }


def test_lists_with_pipes_and_repeated_lists_and_booleans_arrive() -> None:
    _, values = at_hotel(
        "checkAvailability",
        {
            "house_code": "BGO 1é",
            "arrival": "2027-03-01",
            "departure": "2027-03-04",
            "adults": 1,
            "children_ages": [4, 11],
            "room_types": ["double", "suite"],
            "with_breakfast": True,
        },
    )
    assert values == {
        "house": "BGO 1é",
        "arrival": "2027-03-01",
        "departure": "2027-03-04",
        "adults": 1,
        "ages": [4, 11],
        "types": ["double", "suite"],
        "breakfast": True,
    }


def test_an_exploded_object_is_spread_over_the_query() -> None:
    _, values = at_hotel(
        "getRates", {"house_code": "BGO1", "date": "2027-03-01", "filter": {"refundable": False, "meal_plan": "none"}}
    )
    assert values == {"house": "BGO1", "date": "2027-03-01", "refundable": False, "meal_plan": "none"}


def test_a_list_with_blanks_arrives() -> None:
    _, values = at_hotel("searchRooms", {"house_code": "BGO1", "words": ["sea", "view&x=1"], "floors": [3, 4]})
    assert values == {"house": "BGO1", "words": ["sea", "view&x=1"], "floors": [3, 4]}


@pytest.mark.parametrize("code", ["../..", "BGO/../x", "a\\b", "...", "BGO%2Fph", "BGO\r\n1", "BG\x00O", "%2e%2e"])
def test_what_would_leave_its_place_in_the_path_is_not_sent(code: str) -> None:
    outcome, seen = called(hotel, HOTEL, "getHouse", {"house_code": code}, base="/v4")
    assert not outcome.ok and not outcome.unknown and outcome.detail == "bad_arguments"
    assert "the argument 'house_code' must be plain text" in outcome.output
    assert seen.urls == []


def test_a_booking_carries_key_signature_trace_and_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARTNER_KEY", "partner-7")
    guest = {"last_name": "Ødegård", "companions": [{"last_name": "Li", "companions": [{"last_name": "李"}]}]}
    outcome, seen = called(
        hotel,
        HOTEL,
        "createReservation",
        {**STAY, "guest": guest, "wishes": AWKWARD},
        base="/v4",
        auth={"kind": "header", "name": "X-Partner-Key", "secret": "env:PARTNER_KEY"},
        headers={"X-Tenant": "acme"},
    )
    assert (outcome.ok, outcome.output) == (True, '{"id":"K7XQ2P"}')
    ((_, values),) = seen.calls
    expected = Reservation.model_validate({**STAY, "guest": guest, "wishes": AWKWARD})
    assert values == {"body": expected, "key": "CA1:call_abc"}
    (headers,) = seen.headers
    Webhook(SECRET).verify(seen.bodies[0], dict(headers))
    assert headers["traceparent"].startswith("00-") and headers["x-tenant"] == "acme"


def test_a_refusal_is_told_in_the_words_of_its_problem_details(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARTNER_KEY", "partner-7")
    auth = {"kind": "header", "name": "X-Partner-Key", "secret": "env:PARTNER_KEY"}
    arguments = {**STAY, "room_type": "suite", "guest": {"last_name": "Li"}}
    outcome, _ = at_hotel("createReservation", arguments, auth=auth)
    assert json.loads(outcome.output) == {"error": {"message": "Sold out: No suite is free on 2027-03-01."}}
    assert not outcome.ok and not outcome.unknown and outcome.detail == "HTTP 409"


def test_a_missing_secret_is_for_the_operator_and_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PARTNER_KEY", raising=False)
    auth = {"kind": "header", "name": "X-Partner-Key", "secret": "env:PARTNER_KEY"}
    outcome, seen = called(hotel, HOTEL, "isUp", {}, base="/v4", auth=auth)
    assert not outcome.ok and outcome.detail == "the environment variable PARTNER_KEY is not set"
    assert "not set up correctly" in outcome.output and seen.urls == []


def test_an_empty_answer_is_ok() -> None:
    outcome, values = at_hotel("cancelReservation", {"reservation_id": "K7XQ2P", "reason": AWKWARD})
    assert (outcome.ok, outcome.output, outcome.detail) == (True, '{"ok":true}', "HTTP 204")
    assert values == {"id": "K7XQ2P", "reason": AWKWARD}
    assert at_hotel("isUp", {})[0].output == '{"ok":true}'


def test_a_form_is_sent_and_plain_text_is_told() -> None:
    outcome, values = at_hotel(
        "addNote", {"reservation_id": "K 7", "text": AWKWARD, "departments": ["kitchen", "reception"]}
    )
    assert outcome.output == '"Noted for BGO1 – grüße"'
    assert values == {"id": "K 7", "text": AWKWARD, "departments": ["kitchen", "reception"]}


def test_arguments_of_one_name_reach_each_their_place() -> None:
    body = {"name": "Kim", "value": "feather"}
    _, values = at_hotel("setPreference", {"id": 4, "name": "pillow é", "id_query": "stay/1", "body": body})
    assert values == {"id": 4, "name": "pillow é", "stay": "stay/1", "body": body}


def test_a_body_that_is_a_list_is_sent_whole() -> None:
    requests = [{"room": "412", "what": "towels"}, {"room": "413", "what": "taxi"}]
    outcome, values = at_hotel("requestServices", {"body": requests})
    assert outcome.ok and "accepted" in outcome.output and not outcome.pending
    assert values == {"body": requests}


def test_the_clinic_reads_all_its_query_styles() -> None:
    _, values = at_clinic(
        "freeSlots",
        {
            "practitioner": "dr-lund",
            "kind": "acute",
            "weekdays": ["mon", "fri"],
            "ignore": [7, 9],
            "between": {"from": "2027-01-11", "until": "2027-01-15"},
        },
    )
    assert values == {
        "who": "dr-lund",
        "kind": "acute",
        "weekdays": ["mon", "fri"],
        "ignore": ["7", "9"],
        "between": {"from": "2027-01-11", "until": "2027-01-15"},
        "page": 1,
    }
    arguments = {"specialities": ["general", "cardiology"], "languages": ["en", "no"], "accepts_new": None}
    assert at_clinic("list_practitioners", arguments)[1] == {
        "specialities": ["general", "cardiology"],
        "languages": "en,no",
        "accepts_new": None,
    }


def test_a_parameter_of_json_and_an_exploded_object_arrive() -> None:
    where = {"kind": "acute", "practitioners": [AWKWARD]}
    _, values = at_clinic("findAppointments", {"patient": 4.0, "where": where, "order": {"direction": "desc"}})
    assert json.loads(str(values.pop("where"))) == where
    assert values == {"patient": 4, "sort": None, "direction": "desc"}


def test_a_merged_body_and_header_lists_arrive() -> None:
    visit = {"patient": 4, "start": "2027-01-12T09:20:00+01:00", "kind": "acute"}
    _, values = at_clinic("bookAppointment", {**visit, "X-Channel": "phone", "X-Labels": ["a b", "c"]})
    assert values == {"body": visit, "channel": "phone", "labels": "a b,c"}


@pytest.mark.parametrize("label", ["a,b", "a\r\nX-Admin: 1", "é", " a", "a\x00"])
def test_what_would_leave_its_place_in_a_header_is_not_sent(label: str) -> None:
    visit = {"patient": 4, "start": "2027-01-12T09:20:00+01:00", "kind": "acute", "X-Channel": "phone"}
    outcome, seen = called(clinic, CLINIC, "bookAppointment", {**visit, "X-Labels": [label]})
    assert not outcome.ok and outcome.detail == "bad_arguments" and seen.urls == []


def test_a_patch_keeps_its_content_type_and_an_optional_body_may_be_left_out() -> None:
    body = {"start": "2027-01-13T10:00:00+01:00"}
    _, values = at_clinic("moveAppointment", {"id": 7, "body": body})
    assert values == {"id": 7, "kind": "application/merge-patch+json", "body": body}
    assert at_clinic("cancelAppointment", {"id": 7})[1] == {"id": 7, "body": ""}
    assert at_clinic("cancelAppointment", {"id": 7, "body": {"reason": "ill"}})[1] == {
        "id": 7,
        "body": '{"reason":"ill"}',
    }


def test_one_name_in_path_query_and_form_is_three_arguments() -> None:
    _, values = at_clinic("remind", {"id": 7, "id_query": "sms", "id_body": "x=1&y", "text": AWKWARD})
    assert values == {"id": 7, "by": "sms", "body_id": "x=1&y", "text": AWKWARD}


def test_reserved_characters_are_encoded_also_where_they_need_not_be() -> None:
    assert at_clinic("searchPatients", {"name": AWKWARD})[1] == {"name": AWKWARD, "born": None}


def test_maps_and_schemas_that_contain_themselves_arrive() -> None:
    relatives = {"Eva Ødegård": {"name": "Eva", "relation": "parent"}}
    assert at_clinic("setRelatives", {"patient": 4, "body": relatives})[1] == {"patient": 4, "body": relatives}
    finding = {"symptom": "cough", "related": [{"symptom": "fever", "fever": 39.1, "cause": {"symptom": "flu"}}]}
    outcome, values = at_clinic("triage", {"body": finding})
    assert values == {"body": finding} and outcome.output == '{"urgency":"soon"}'


def test_an_answer_too_long_for_a_call_is_refused() -> None:
    outcome, _ = at_clinic("freeSlots", {"practitioner": "dr-lund", "kind": "acute", "page": 99})
    assert not outcome.ok and "too long for a telephone call" in outcome.output


def test_errors_of_fastapi_are_told_with_their_place() -> None:
    outcome, seen = called(clinic, CLINIC, "prescriptions", {"patient": 4})
    assert json.loads(outcome.output) == {"error": {"message": "query.active: Field required"}}
    assert seen.calls == []


@pytest.mark.parametrize(
    ("auth", "header", "query"),
    [
        ({"kind": "bearer"}, "Bearer s3cret:ü", None),
        ({"kind": "bearer"}, "Bearer user:pass", ""),
        ({"kind": "basic"}, "Basic dXNlcjpwYXNz", ""),
        ({"kind": "query", "name": "api_key"}, None, "&api_key=user%3Apass"),
    ],
)
def test_credentials_go_where_the_section_says(
    auth: dict[str, str], header: str | None, query: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY", "user:pass" if query is not None else "s3cret:ü")
    auth = {**auth, "secret": "env:KEY"}
    outcome, seen = called(clinic, CLINIC, "searchPatients", {"name": "Li"}, auth=auth, sign=False, secret=None)
    if query is None:
        assert outcome.detail == "the secret of auth is not printable ASCII" and seen.urls == []
        return
    assert outcome.ok and seen.headers[0].get("authorization") == header
    assert seen.urls == [f"/patients?name=Li{query}"]
    assert not {"webhook-id", "webhook-timestamp", "webhook-signature"} & seen.headers[0].keys()


def test_without_credentials_and_without_a_signing_secret_nothing_is_sent() -> None:
    outcome, seen = called(clinic, CLINIC, "queue", {}, secret=None)
    assert not outcome.ok and outcome.detail.startswith("no signing secret") and seen.urls == []
    assert called(clinic, CLINIC, "queue", {}, secret=None, sign=False)[0].output == '"twenty minutes"'


@pytest.mark.parametrize("sign", [False, True])
def test_key_and_trace_go_along_unsigned_too(sign: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARTNER_KEY", "partner-7")
    auth = {"kind": "header", "name": "X-Partner-Key", "secret": "env:PARTNER_KEY"}
    booking = {**STAY, "guest": {"last_name": "Li"}}
    outcome, seen = called(hotel, HOTEL, "createReservation", booking, base="/v4", auth=auth, sign=sign, secret=None)
    assert outcome.ok and seen.headers[0]["idempotency-key"] == "CA1:call_abc"
    assert seen.headers[0]["traceparent"].startswith("00-") and "webhook-id" not in seen.headers[0]
