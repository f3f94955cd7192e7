"""A client says so where it is used in another event loop, or among greenlets that grpc was not told of."""

import asyncio
import subprocess
import sys
from typing import Any

import pytest

from authy_grpc.client import AsyncClient, Canceled, Client
from authy_grpc.v1.user_pb2 import GetUserRequest, GetUserResponse


def _get(request: GetUserRequest, context: Any) -> GetUserResponse:
    return GetUserResponse()


def _run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)


async def _get_user(client: AsyncClient) -> None:
    await client.users.GetUser(GetUserRequest())


async def _first(watcher: Any) -> Any:
    return await anext(watcher)


_GLOBAL = """
import asyncio, sys
from authy_grpc.client import AsyncClient
from authy_grpc.v1.user_pb2 import GetUserRequest
client = AsyncClient(sys.argv[1], "ak_1")
async def call():
    await client.users.GetUser(GetUserRequest())
async def watch():
    await anext(client.watch_events())
for use in (call, watch):
    try:
        asyncio.run(use())
    except RuntimeError as error:
        print(error)
"""


def test_a_client_that_was_made_at_import_says_so(serve: Any) -> None:
    said = _run(_GLOBAL, serve(GetUser=_get)).stdout.splitlines()
    assert len(said) == 2
    assert all("made outside of any event loop" in line for line in said)


def test_a_client_of_another_loop_says_so_and_is_good_in_its_own(serve: Any) -> None:
    target = serve(GetUser=_get)

    async def made() -> AsyncClient:
        client = AsyncClient(target, "ak_1")
        await _get_user(client)
        return client

    with asyncio.Runner() as own:
        client = own.run(made())
        for call in (
            lambda: _get_user(client),
            lambda: _first(client.watch_enrollment("enr_1")),
            lambda: _first(client.watch_events("0")),
        ):
            with pytest.raises(RuntimeError, match=r"another event loop.*make it in a coroutine"):
                asyncio.run(call())
        own.run(_get_user(client))
        own.run(client.close())


def test_a_closed_client_says_so(serve: Any) -> None:
    target = serve(GetUser=_get)
    client = Client(target, "ak_1")
    client.close()
    with pytest.raises(Canceled):
        client.users.GetUser(GetUserRequest())
    with pytest.raises(Canceled):
        next(client.watch_events())

    async def go() -> None:
        async with AsyncClient(target, "ak_1") as other:
            pass
        with pytest.raises(Canceled):
            await other.users.GetUser(GetUserRequest())

    asyncio.run(go())


_PATCHED = """
import sys, types, warnings
monkey = sys.modules["gevent.monkey"] = types.ModuleType("gevent.monkey")
monkey.is_module_patched = lambda name: sys.argv[1] != "unpatched"
if sys.argv[1] == "told":
    import grpc.experimental.gevent
from authy_grpc.client import Client
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    Client("127.0.0.1:1", "ak_1").close()
print(*(f"{each.category.__name__} {each.message}" for each in caught if each.filename == "<string>"))
"""


@pytest.mark.parametrize("state", ["patched", "told", "unpatched"])
def test_a_client_among_greenlets_warns_where_grpc_was_not_told(state: str) -> None:
    ran = _run(_PATCHED, state)
    assert ran.stdout.startswith("RuntimeWarning gevent has patched") is (state == "patched")


_REAL = """
from gevent import monkey
monkey.patch_all()
from authy_grpc.client import Client
Client("127.0.0.1:1", "ak_1").close()
"""


def test_gevent_itself_is_noticed() -> None:
    assert "init_gevent" in _run(_REAL).stderr
