"""One session, its server's end in our hands: what follows when the stream speaks another format than was expected."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from gateway.core.audio import AudioFormat
from gateway.core.commands import ConfigureAudio
from gateway.core.events import Event, ModelClosed, SessionReady
from gateway.realtime.codec import audio_format
from gateway.realtime.connection import ModelTarget, RealtimeConnection
from gateway.wire import PipeEnd, TextSocket, pipe
from tests.clock import run


def session(audio: AudioFormat) -> dict[str, Any]:
    return {"type": "realtime", "audio": {side: {"format": audio_format(audio)} for side in ("input", "output")}}


def updated(audio: AudioFormat) -> str:
    return json.dumps({"type": "session.updated", "session": {"id": "sess_1", **session(audio)}})


def with_server(server: Callable[[PipeEnd, RealtimeConnection], Awaitable[None]]) -> list[Event]:
    """Return what the call is told by a session whose stream turned out to speak A-law."""
    told: list[Event] = []

    async def main() -> None:
        ours, theirs = pipe()

        async def open_socket(url: str, headers: Mapping[str, str]) -> TextSocket:
            return ours

        target = ModelTarget("ws://model", {})
        connection = RealtimeConnection(target, session(AudioFormat.PCMU), told.append, open_socket=open_socket)
        async with asyncio.TaskGroup() as group:
            group.create_task(connection.run())
            connection.send(ConfigureAudio(AudioFormat.PCMA))
            await theirs.receive()
            await theirs.send(updated(AudioFormat.PCMU))
            await server(theirs, connection)
            connection.detach()

    run(main())
    return told


def test_echoes_of_either_format_are_ours_while_the_change_is_under_way() -> None:
    async def server(socket: PipeEnd, connection: RealtimeConnection) -> None:
        asked = json.loads(await socket.receive())
        assert asked["session"] == session(AudioFormat.PCMA)
        for audio in (AudioFormat.PCMU, AudioFormat.PCMA):
            await socket.send(updated(audio))
        await asyncio.sleep(0.1)

    assert with_server(server) == [SessionReady("sess_1")]


def test_a_server_that_refuses_the_streams_format_is_given_up_and_not_heard_as_noise() -> None:
    async def server(socket: PipeEnd, connection: RealtimeConnection) -> None:
        asked = json.loads(await socket.receive())
        error = {"type": "invalid_request_error", "code": "invalid_value", "event_id": asked["event_id"]}
        await socket.send(json.dumps({"type": "error", "error": error}))
        await asyncio.sleep(0.1)

    ready, closed = with_server(server)
    assert ready == SessionReady("sess_1")
    assert isinstance(closed, ModelClosed) and closed.code == "session_refused" and closed.permanent
