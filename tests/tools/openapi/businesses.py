"""The two imaginary businesses behind the documents: as much of their APIs as the tests call, in FastAPI.

They read requests as FastAPI does, or, where it knows no such style, as the document says.
"""

from typing import Annotated

from fastapi import FastAPI, Form, Header, HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel
from starlette.middleware.base import RequestResponseEndpoint

from .world import Seen


class Guest(BaseModel):
    last_name: str
    first_name: str | None = None
    companions: list["Guest"] = []


class Reservation(BaseModel, extra="forbid"):
    house: str
    arrival: str
    departure: str
    room_type: str
    guest: Guest
    rate_id: str | None = None
    wishes: str | None = None


class Appointment(BaseModel, extra="forbid"):
    patient: int
    start: str
    kind: str
    practitioner: str | None = None


def deep(request: Request, name: str) -> dict[str, str]:
    """Read a deepObject parameter, which FastAPI does not know."""
    return {
        key[len(name) + 1 : -1]: value
        for key, value in request.query_params.multi_items()
        if key.startswith(f"{name}[") and key.endswith("]")
    }


def _recorded(app: FastAPI, seen: Seen) -> None:
    @app.middleware("http")
    async def record(request: Request, call_next: RequestResponseEndpoint) -> Response:
        seen.headers.append(dict(request.headers))
        seen.urls.append(request.scope["raw_path"].decode() + "?" + request.scope["query_string"].decode())
        seen.bodies.append(await request.body())
        return await call_next(request)


def hotel(seen: Seen) -> FastAPI:
    """Return the API of the Larkspur Hotels."""
    app = FastAPI(openapi_url=None)
    _recorded(app, seen)
    _houses(app, seen)
    _stays(app, seen)
    return app


def _houses(app: FastAPI, seen: Seen) -> None:
    @app.get("/v4/houses")
    async def list_houses(
        request: Request,
        city: str | None = None,
        amenities: str | None = None,
        accept_language: Annotated[str | None, Header()] = None,
    ) -> list[dict[str, str]]:
        near = deep(request, "near")
        seen.add("listHouses", city=city, amenities=amenities, near=near, language=accept_language)
        return [{"code": "BGO1", "name": "Larkspur Bryggen"}]

    @app.get("/v4/houses/{house_code}")
    async def get_house(house_code: str) -> dict[str, str]:
        seen.add("getHouse", house_code=house_code)
        return {"code": house_code}

    @app.get("/v4/houses/{house_code}/availability")
    async def check_availability(
        house_code: str,
        arrival: str,
        departure: str,
        adults: int = 2,
        children_ages: str = "",
        room_types: Annotated[list[str] | None, Query()] = None,
        with_breakfast: bool | None = None,
    ) -> list[dict[str, object]]:
        ages = [int(age) for age in children_ages.split("|")] if children_ages else []
        seen.add(
            "checkAvailability", house=house_code, arrival=arrival, departure=departure, adults=adults, ages=ages,
            types=room_types, breakfast=with_breakfast,
        )  # fmt: skip
        return [{"rate_id": "FLEX24", "room_type": "double"}]

    @app.get("/v4/houses/{house_code}/rates/{date}")
    async def get_rates(
        house_code: str, date: str, refundable: bool | None = None, meal_plan: str | None = None
    ) -> dict[str, str]:
        seen.add("getRates", house=house_code, date=date, refundable=refundable, meal_plan=meal_plan)
        return {"double": "129.00"}

    @app.get("/v4/houses/{house_code}/rooms/search")
    async def search_rooms(
        house_code: str, words: str, floors: Annotated[list[int] | None, Query()] = None
    ) -> list[str]:
        seen.add("searchRooms", house=house_code, words=words.split(" "), floors=floors)
        return []


def _stays(app: FastAPI, seen: Seen) -> None:
    @app.post("/v4/reservations", status_code=201)
    async def create_reservation(
        body: Reservation, idempotency_key: Annotated[str, Header()], x_partner_key: Annotated[str, Header()]
    ) -> Response:
        if x_partner_key != "partner-7":
            raise HTTPException(401, "unknown partner")
        seen.add("createReservation", body=body, key=idempotency_key)
        if body.room_type == "suite":
            problem = {"type": "about:blank", "title": "Sold out", "detail": "No suite is free on 2027-03-01."}
            return JSONResponse(problem, 409, media_type="application/problem+json")
        return JSONResponse({"id": "K7XQ2P"}, 201)

    @app.delete("/v4/reservations/{reservation_id}", status_code=204)
    async def cancel_reservation(reservation_id: str, reason: str | None = None) -> None:
        seen.add("cancelReservation", id=reservation_id, reason=reason)

    @app.post("/v4/reservations/{reservation_id}/notes", status_code=201)
    async def add_note(
        reservation_id: str, text: Annotated[str, Form()], departments: Annotated[list[str] | None, Form()] = None
    ) -> PlainTextResponse:
        seen.add("addNote", id=reservation_id, text=text, departments=departments)
        return PlainTextResponse("Noted for BGO1 – grüße", 201)

    @app.put("/v4/guests/{id}/preferences/{name}", status_code=204)
    async def set_preference(id: int, name: str, body: dict[str, str], request: Request) -> None:
        seen.add("setPreference", id=id, name=name, stay=request.query_params.get("id"), body=body)

    @app.post("/v4/requests/batch", status_code=202)
    async def request_services(body: list[dict[str, str]]) -> Response:
        seen.add("requestServices", body=body)
        return Response(status_code=202)

    @app.head("/v4/status")
    async def is_up() -> None:
        seen.add("isUp")


def clinic(seen: Seen) -> FastAPI:
    """Return the API of the Birch Lane Clinic."""
    app = FastAPI(openapi_url=None)
    _recorded(app, seen)
    _appointments(app, seen)
    _patients(app, seen)
    return app


def _appointments(app: FastAPI, seen: Seen) -> None:
    @app.get("/practitioners")
    async def practitioners(
        specialities: Annotated[list[str] | None, Query()] = None,
        languages: str | None = None,
        accepts_new: bool | None = None,
    ) -> list[str]:
        seen.add("practitioners", specialities=specialities, languages=languages, accepts_new=accepts_new)
        return ["dr-lund"]

    @app.get("/practitioners/{practitioner}/slots")
    async def free_slots(
        request: Request, practitioner: str, kind: str, weekdays: str = "", ignore: str = "", page: int = 1
    ) -> list[dict[str, str]]:
        seen.add(
            "freeSlots", who=practitioner, kind=kind, weekdays=weekdays.split("|"), ignore=ignore.split(" "),
            between=deep(request, "between"), page=page,
        )  # fmt: skip
        return [{"start": "2027-01-12T09:20:00+01:00"}] * (2000 if page == 99 else 1)

    @app.get("/appointments")
    async def find_appointments(
        patient: int, where: str | None = None, sort: str | None = None, direction: str | None = None
    ) -> list[str]:
        seen.add("findAppointments", patient=patient, where=where, sort=sort, direction=direction)
        return []

    @app.post("/appointments", status_code=201)
    async def book(
        body: Appointment, x_channel: Annotated[str, Header()], x_labels: Annotated[str | None, Header()] = None
    ) -> dict[str, object]:
        seen.add("bookAppointment", body=body.model_dump(exclude_none=True), channel=x_channel, labels=x_labels)
        return {"id": 7}

    @app.patch("/appointments/{id}")
    async def move(id: int, request: Request) -> dict[str, int]:
        seen.add("moveAppointment", id=id, kind=request.headers["content-type"], body=await request.json())
        return {"id": id}

    @app.delete("/appointments/{id}", status_code=204)
    async def cancel(id: int, request: Request) -> None:
        seen.add("cancelAppointment", id=id, body=(await request.body()).decode())

    @app.post("/appointments/{path_id}/reminders", status_code=202)
    async def remind(
        path_id: int,
        by: Annotated[str, Query(alias="id")],
        text: Annotated[str, Form()],
        body_id: Annotated[str, Form(alias="id")],
    ) -> Response:
        seen.add("remind", id=path_id, by=by, text=text, body_id=body_id)
        return Response(status_code=202)


def _patients(app: FastAPI, seen: Seen) -> None:
    @app.get("/patients")
    async def search(name: str, born: str | None = None) -> list[str]:
        seen.add("searchPatients", name=name, born=born)
        return []

    @app.put("/patients/{patient}/relatives")
    async def set_relatives(patient: int, body: dict[str, dict[str, str]]) -> None:
        seen.add("setRelatives", patient=patient, body=body)

    @app.get("/prescriptions")
    async def prescriptions(patient: int, active: bool) -> list[str]:
        seen.add("prescriptions", patient=patient, active=active)
        return []

    @app.post("/symptoms")
    async def triage(body: dict[str, object]) -> dict[str, str]:
        seen.add("triage", body=body)
        return {"urgency": "soon"}

    @app.get("/queue")
    async def queue() -> PlainTextResponse:
        return PlainTextResponse("twenty minutes")
