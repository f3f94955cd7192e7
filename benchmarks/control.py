"""Starts a server's process for the load generator, connects to it, asks how it stands."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from authy_grpc.domain.ids import new_secret
from authy_grpc.home import Secrets
from authy_grpc.store import schema
from authy_grpc.store.vault import Vault, new_keyset
from authy_grpc.v1.verification_pb2 import VerifyCodeRequest, VerifyCodeResponse
from benchmarks.seed import Person, seed
from benchmarks.server import BARE, CONTROL, EMPTY

_CODING: dict[str, Any] = {
    "request_serializer": VerifyCodeRequest.SerializeToString,
    "response_deserializer": VerifyCodeResponse.FromString,
}
# Streams that one connection carries; the server's limit is 600.
_STREAMS = 100


@dataclass(frozen=True)
class Standing:
    """How the server's process stands.

    Attributes:
        now: by its clock.
        cpu: seconds that it has used, of all its threads.
        resident: bytes of memory.
        committed: when it last heard of a commit with events, on the machine's monotonic clock.
        shouted: when it took this question, on that clock.
    """

    now: datetime
    cpu: float
    resident: int
    committed: float
    shouted: float


@dataclass
class Target:
    """A server's process, with a site and its users."""

    channel: grpc.aio.Channel
    bare: grpc.aio.Channel
    addresses: dict[str, str]
    api_key: str
    persons: list[Person]
    more: list[grpc.aio.Channel] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.metadata = (("authorization", f"Bearer {self.api_key}"),)
        self._request = VerifyCodeRequest(authy_id="1234567", code="123456", request_id="benchmark")
        self._empty = self.channel.unary_unary(f"/{EMPTY}/Call", **_CODING)
        self._bare = self.bare.unary_unary(f"/{BARE}/Call", **_CODING)
        self._do: Any = self.bare.unary_unary(f"/{CONTROL}/Do")

    async def empty_call(self) -> None:
        """Call what does nothing, behind the interceptors."""
        await self._empty(self._request, metadata=self.metadata)

    async def bare_call(self) -> None:
        """Call what does nothing, of a server without interceptors."""
        await self._bare(self._request, metadata=self.metadata)

    async def stand(self, **what: Any) -> Standing:
        """Have something done: `turn` the clock by seconds, `shout` to bare streams, `deliver` webhooks."""
        told = json.loads(await self._do(json.dumps(what).encode()))
        return Standing(**told | {"now": datetime.fromtimestamp(told["now"], UTC)})

    def channels(self, name: str, streams: int) -> list[grpc.aio.Channel]:
        """Connections of their own to `core` or `bare`, as many as it takes to hold streams."""
        made = [_connect(self.addresses[name]) for _ in range(-(-streams // _STREAMS))]
        self.more += made
        return made

    def bare_streams(self, count: int) -> list[Any]:
        """Open streams to the server without interceptors."""
        channels = self.channels("bare", count)
        watch = [each.unary_stream(f"/{BARE}/Watch", **_CODING) for each in channels]
        return [watch[number % len(watch)](self._request) for number in range(count)]


@asynccontextmanager
async def served(
    url: str,
    folder: Path,
    persons: int,
    *,
    http: bool = False,
    webhooks: Sequence[str] = (),
    tree: Path | None = None,
) -> AsyncIterator[Target]:
    """Migrate and seed an empty database, and serve it in a process of its own.

    Args:
        url: of the database.
        folder: for the server's log.
        persons: how many users the site has.
        http: whether gateways are in the process, which then has their event loop.
        webhooks: where the site has its events posted.
        tree: whose server it is; None for this one's.
    """
    made = [new_keyset(), new_secret("op", os.urandom), new_secret("gw", os.urandom)]
    secrets = Secrets(*made)
    await asyncio.to_thread(schema.upgrade, url)
    seeded = await asyncio.to_thread(seed, url, Vault(secrets.keyset), persons, webhooks)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.server",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=tree,
    )
    assert process.stdin is not None and process.stdout is not None
    told = {
        "url": url,
        "log": str(folder / "log.jsonl"),
        "secrets": asdict(secrets),
        "core": server_core(),
        "http": http,
    }
    process.stdin.write(json.dumps(told).encode() + b"\n")
    line = await process.stdout.readline()
    if not line:
        raise RuntimeError("the server did not start")
    addresses = {name: f"127.0.0.1:{port}" for name, port in json.loads(line).items()}
    target = Target(
        _connect(addresses["core"]), _connect(addresses["bare"]), addresses, seeded.api_key, [*seeded.persons]
    )
    try:
        yield target
    finally:
        for channel in (target.channel, target.bare, *target.more):
            await channel.close()
        process.stdin.close()
        await process.wait()


def server_core() -> int | None:
    """The core that the server has for itself; None where there is but one."""
    return 0 if (os.cpu_count() or 1) > 1 else None


def keep_off() -> None:
    """Leave the server's core to it."""
    core = server_core()
    if core is not None:
        os.sched_setaffinity(0, os.sched_getaffinity(0) - {core})


def _connect(address: str) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(address, (("grpc.use_local_subchannel_pool", 1),))
