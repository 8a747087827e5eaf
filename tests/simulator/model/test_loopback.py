"""The same server over a real socket: upgrade, close codes, shutdown."""

import asyncio
import json

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gateway.simulator.model import ModelOptions, ModelServer, ScriptedEngine
from tests.simulator.model.client import SERVER_EVENT

MODEL = "?model=gpt-realtime-2.1"


@pytest.mark.e2e
def test_a_session_runs_over_loopback_and_closes_with_the_server() -> None:
    async def call() -> None:
        seen: list[tuple[str, str]] = []

        def watch(session: str, direction: str, event: dict[str, object], at: float) -> None:
            seen.append((direction, str(event["type"])))

        async with asyncio.timeout(20):
            async with ModelServer(ScriptedEngine(), ModelOptions(audio_factor=500), on_event=watch) as server:
                socket = await connect(server.url + MODEL, compression=None, max_size=None)
                await socket.send('{"type":"response.create"}')
                kinds: list[str] = []
                while not kinds or kinds[-1] != "response.done":
                    frame = await socket.recv()
                    SERVER_EVENT.validate_json(frame, strict=True)
                    kinds.append(json.loads(frame)["type"])
                assert kinds[0] == "session.created"
                assert server.open_sessions == 1
            with pytest.raises(ConnectionClosed):
                while True:
                    await socket.recv()
            assert socket.close_code == 1001
            assert server.open_sessions == 0
            assert not server.sessions[0].open
            assert ("in", "response.create") in seen
            assert ("out", "response.done") in seen

    asyncio.run(call())


@pytest.mark.e2e
def test_refusals_and_rejections_look_like_the_services() -> None:
    async def call() -> None:
        async with asyncio.timeout(20), ModelServer(ScriptedEngine(), ModelOptions(api_key="right")) as server:
            server.refuse_next(429)
            with pytest.raises(InvalidStatus) as refused:
                await connect(server.url + MODEL)
            assert refused.value.response.status_code == 429
            assert refused.value.response.headers["content-type"] == "application/json"
            with pytest.raises(InvalidStatus) as refused:
                await connect(server.url + "?" + "&".join(f"a{n}=1" for n in range(60)))
            assert refused.value.response.status_code == 400
            azure = server.url.replace("/v1/", "/openai/v1/") + "?model=my-deployment"
            with pytest.raises(InvalidStatus) as refused:
                await connect(azure, additional_headers={"api-key": "wrong"})
            assert refused.value.response.status_code == 401
            async with connect(azure, additional_headers={"api-key": "right"}) as socket:
                assert "session.created" in str(await socket.recv())
            async with connect(server.url + MODEL, additional_headers={"Authorization": "Bearer wrong"}) as socket:
                assert "invalid_api_key" in str(await socket.recv())
                await socket.wait_closed()
                assert socket.close_code == 3000
            offered = ["realtime", "openai-insecure-api-key.right"]
            async with connect(server.url + MODEL, subprotocols=offered) as socket:  # type: ignore[arg-type]
                assert socket.subprotocol == "realtime"
                assert "session.created" in str(await socket.recv())

    asyncio.run(call())


@pytest.mark.e2e
def test_a_lost_connection_ends_its_session_only() -> None:
    async def call() -> None:
        async with asyncio.timeout(20), ModelServer(ScriptedEngine()) as server:
            first, second = await connect(server.url + MODEL), await connect(server.url + MODEL)
            await first.recv()
            await second.recv()
            first.transport.abort()
            await second.send('{"type":"no.such.event"}')
            assert "session.created" not in str(await second.recv())
            while server.open_sessions > 1:
                await second.send('{"type":"no.such.event"}')
                await second.recv()
            assert [record.open for record in server.sessions] == [False, True]
            await second.close()

    asyncio.run(call())
