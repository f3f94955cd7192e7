"""What a flood of strangers' calls costs others: a short wait, few lines of the log, little memory."""

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message

from authy_grpc.rpc.sampling import Sampling
from authy_grpc.server import OPTIONS, Service
from authy_grpc.v1 import application_pb2, application_pb2_grpc
from tests import harness
from tests.framing import Wire, head
from tests.mortal import Life, Mortal
from tests.rushing import PATIENCE, came

STREAMS = "grpc.max_concurrent_streams"
GET = "/authy_grpc.v1.ApplicationService/GetApplication"
START = "/authy_grpc.v1.AccountService/StartPhoneVerification"
BEARER = (("authorization", "Bearer op_1"),)
CONNECTIONS, EACH = 4, 500
# Half of a message, one that never comes, and both from who shows what looks like a key.
GUESS = ("authorization", "Bearer ak_" + "a" * 52)
KINDS: dict[str, tuple[str, tuple[tuple[str, str], ...], bytes]] = {
    "half": (START, (), head(200_000) + bytes(3_000)),
    "never": (START, (), b""),
    "guess": (GET, (GUESS,), head(200_000) + bytes(3_000)),
}


class Applications(application_pb2_grpc.ApplicationServiceServicer):
    """Answers at once."""

    async def GetApplication(self, request: Message, context: Any) -> Any:
        return application_pb2.GetApplicationResponse()


def refused(world: Any) -> int:
    """How many calls of strangers the server has refused."""
    found = re.search(rf'handled_total{{code="UNAUTHENTICATED",method="{GET}",\S+ (\d+)', world.metrics)
    return int(found[1]) if found else 0


async def stood_before(world: Any) -> int:
    """How many of a flood were refused between an honest call and its answer."""
    stub: Any = application_pb2_grpc.ApplicationServiceStub(world.channel)
    asked = application_pb2.GetApplicationRequest(application_id="app_1")
    await stub.GetApplication(asked, metadata=BEARER, timeout=PATIENCE)
    async with contextlib.AsyncExitStack() as closing, asyncio.timeout(PATIENCE):
        wires = [await closing.enter_async_context(Wire.open(world.port)) for _ in range(CONNECTIONS)]
        for wire in wires:
            for _ in range(EACH):
                wire.call(GET)
        await came(lambda: refused(world))
        begun = refused(world)
        await stub.GetApplication(asked, metadata=BEARER, timeout=PATIENCE)
        count = refused(world) - int(begun)
        await came(lambda: sum(len(wire.ended) for wire in wires) >= CONNECTIONS * EACH)
    return count


def services() -> Service:
    servicer: Any = Applications
    return Service("b", servicer(), application_pb2_grpc.add_ApplicationServiceServicer_to_server)


async def test_a_connection_puts_so_many_calls_before_others(transport: Any) -> None:
    assert dict(OPTIONS)[STREAMS] == 600
    most = CONNECTIONS * 100
    async with transport(services(), options={STREAMS: 100}) as world:
        # A few more are refused while the answer is on its way.
        assert await stood_before(world) < 1.2 * most
    async with transport(services(), options={STREAMS: EACH}) as world:
        assert await stood_before(world) > 1.5 * most


async def test_lines_of_refused_strangers_are_summed_up(transport: Any) -> None:
    async with transport(services()) as world:
        async with Wire.open(world.port) as wire:
            for _ in range(90):
                wire.call(GET)
            await came(lambda: len(wire.ended) == 90)

        def counts() -> int:
            sums: list[int] = [
                line["count"] for line in world.lines if line["event"] == "calls of strangers refused"
            ]
            lines = [line for line in world.lines if line.get("reason") == "BAD_CREDENTIAL"]
            return sum(sums) - len(sums) + len(lines)

        await came(lambda: counts() >= 90)
        assert counts() == refused(world) == 90
        stub: Any = application_pb2_grpc.ApplicationServiceStub(world.channel)
        for _ in range(30):
            asked = application_pb2.GetApplicationRequest(application_id="app_1")
            await stub.GetApplication(asked, metadata=BEARER, timeout=PATIENCE)
        # Who has a credential has a line for each call.
        assert sum(line.get("code") == "OK" for line in world.lines) == 30


async def test_so_many_lines_a_second_and_a_sum() -> None:
    told: list[tuple[str, int]] = []
    sampling = Sampling(lambda *found: told.append(found), most=2, seconds=0.05)
    assert [sampling.admits("A") for _ in range(4)] == [True, True, False, False]
    assert not sampling.admits("B")
    await came(lambda: told)
    assert (sorted(told), sampling.admits("A")) == ([("A", 2), ("B", 1)], True)


# The figures of a whole server, in a process of its own; the flood comes from another.


async def _flood(port: int, kind: str, each: int) -> float:
    path, metadata, data = KINDS[kind]
    async with contextlib.AsyncExitStack() as closing, asyncio.timeout(PATIENCE):
        wires = [
            await closing.enter_async_context(Wire.open(port, f"127.0.0.{2 + number}"))
            for number in range(CONNECTIONS)
        ]
        begin = time.monotonic()
        for wire in wires:
            for _ in range(each):
                wire.call(path, *metadata, data=data)
        await came(lambda: sum(len(wire.ended) for wire in wires) >= CONNECTIONS * each)
        return time.monotonic() - begin


def attack(line: Any, port: int, kind: str, each: int) -> None:
    """A process that floods a port, and says how many seconds passed until all calls had ended."""
    line.recv()
    line.send(asyncio.run(_flood(port, kind, each)))


def resident(pid: int) -> float:
    """Memory of a process, in MiB."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


@contextlib.asynccontextmanager
async def honest(site: harness.Site) -> AsyncIterator[list[float]]:
    """Four who call one after the other: seconds of each call."""
    taken: list[float] = []

    async def ask() -> None:
        while True:
            begin = time.monotonic()
            await site.client.application.GetCurrentApplication(
                application_pb2.GetCurrentApplicationRequest(), timeout=PATIENCE
            )
            taken.append(time.monotonic() - begin)
            await asyncio.sleep(0.01)

    tasks = [asyncio.create_task(ask()) for _ in range(4)]
    try:
        yield taken
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def p99(taken: list[float]) -> float:
    return sorted(taken)[len(taken) * 99 // 100]


@pytest.mark.proof
@pytest.mark.parametrize("kind", KINDS)
async def test_a_flood_of_4000_calls(service: harness.Service, tmp_path: Path, kind: str) -> None:
    site = await service.site()
    async with Mortal.of(service, tmp_path / "log") as mortal:
        await mortal.start()
        flood = Life(attack, int(service.target.rpartition(":")[2]), kind, 1_000)
        try:
            async with honest(site) as quiet:
                await asyncio.sleep(15)
            before = most = resident(mortal.pid)
            async with honest(site) as meanwhile:
                flood.tell("begin")
                word = asyncio.create_task(flood.word())
                until = time.monotonic() + 15
                while not word.done() or time.monotonic() < until:
                    most = max(most, resident(mortal.pid))
                    await asyncio.sleep(0.02)
            seconds = await word
            async with honest(site) as after:
                await asyncio.sleep(15)
        finally:
            flood.kill()
    usual = max(p99(quiet), p99(after))
    print(
        f"{kind}: {seconds:.1f} s, +{most - before:.1f} MiB, p99 {usual:.4f} s, then {p99(meanwhile):.4f} s"
    )
    assert seconds < 15
    assert most - before < 64
    assert p99(meanwhile) <= 2 * usual
