"""Measures webhooks: how many a gateway posts a second, and how long from the commit to the receipt."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from authy_grpc.v1.verification_pb2 import CODE_RESULT_WRONG, VerifyCodeRequest
from authy_grpc.v1.verification_pb2_grpc import VerificationServiceStub
from benchmarks.control import Standing, Target, served
from benchmarks.load import percentile
from benchmarks.seed import Person
from benchmarks.web import message

_TAKEN = b"HTTP/1.1 204 No Content\r\n\r\n"
_WHERE = re.compile(rb"POST /([0-9]+) ")
_WHO = re.compile(rb'"authyId": ?"([0-9]+)"')
# Enough for a machine that is busy with something else.
_PATIENCE_SECONDS = 300


@dataclass(frozen=True)
class Plan:
    """What is measured of how many webhooks.

    Attributes:
        healthy: webhooks whose receiver answers at once.
        dead: webhooks whose receiver takes posts and never answers.
        events: that wait when the gateway begins.
        rate: events a second when it is steady, each posted to all webhooks.
        seconds: for which it is.
    """

    healthy: int
    dead: int
    events: int
    rate: int
    seconds: float

    @property
    def steady(self) -> int:
        """Events that come steadily."""
        return int(self.rate * self.seconds)


@dataclass(frozen=True)
class Posted:
    """What was measured, of posts to receivers that answer.

    Attributes:
        posts: that waited when the gateway began.
        seconds: until the last of them was received.
        server: seconds of CPU that the server used for them.
        generator: seconds of CPU that the receiver used for them, and the load generator.
        latencies: in seconds, from an event's commit to its receipt, when it is steady.
        offered: posts a second that the steady events asked for.
    """

    plan: Plan
    posts: int
    seconds: float
    server: float
    generator: float
    latencies: list[float]
    offered: float

    def as_json(self) -> dict[str, object]:
        """For machines."""
        return {
            "webhooks": self.plan.healthy,
            "dead": self.plan.dead,
            "posts": self.posts,
            "rate": self.posts / self.seconds,
            "server_cpu_us": self.server / self.posts * 1e6,
            "server_busy": self.server / self.seconds,
            "generator_busy": self.generator / self.seconds,
            "steady_posts": len(self.latencies),
            "steady_rate": self.offered,
            "p50_ms": percentile(self.latencies, 0.5) * 1000,
            "p99_ms": percentile(self.latencies, 0.99) * 1000,
        }


async def posts(url: Callable[[], str], folder: Path, plan: Plan) -> Posted:
    """Measure on a server and a database of their own. Each event is about another user: none waits for one.

    Args:
        url: makes an empty database.
        folder: for the server's log.
        plan: what is measured.
    """
    async with _receiving() as receiver, _silence() as silent:
        hooks = [f"http://127.0.0.1:{receiver.port}/{number}" for number in range(plan.healthy)]
        hooks += [f"http://127.0.0.1:{silent}/{number}" for number in range(plan.dead)]
        async with served(url(), folder, plan.events + plan.steady, http=True, webhooks=hooks) as target:
            site = _Site(target)
            for person in islice(site.persons, plan.events):
                await site.fail(person)
            receiver.expect(plan.events * plan.healthy)
            before, own = await target.stand(deliver=True), time.process_time()
            taken = await receiver.all()
            after, used = await target.stand(), time.process_time() - own
            receiver.expect(plan.steady * plan.healthy)
            committed, took = await site.fail_steadily(plan)
            steady = await receiver.all()
    return Posted(
        plan=plan,
        posts=len(taken),
        seconds=max(taken.values()) - before.shouted,
        server=after.cpu - before.cpu,
        generator=used,
        latencies=[received - committed[who] for (_, who), received in steady.items()],
        offered=len(steady) / took,
    )


class _Site:
    """A site whose users err: an event each."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._verification = VerificationServiceStub(target.channel)
        self.persons: Iterator[Person] = iter(target.persons)

    async def fail(self, person: Person) -> Standing:
        """A wrong code; answers how the server stands after it."""
        now = (await self._target.stand()).now
        request = VerifyCodeRequest(authy_id=person.authy_id, code=person.wrong_code(now))
        answer = await self._verification.VerifyCode(request, metadata=self._target.metadata)
        if answer.result != CODE_RESULT_WRONG:
            raise RuntimeError(f"the service answered {answer.result}")
        return await self._target.stand()

    async def fail_steadily(self, plan: Plan) -> tuple[dict[bytes, float], float]:
        """Wrong codes at a steady rate; answers when each was committed, and how long it took."""
        committed, begin = dict[bytes, float](), time.monotonic()
        for number, person in enumerate(self.persons):
            await asyncio.sleep(begin + number / plan.rate - time.monotonic())
            committed[person.authy_id.encode()] = (await self.fail(person)).committed
        return committed, max(plan.seconds, time.monotonic() - begin)


class _Receiver:
    """Takes posts, and notes when the first about each user came to each webhook."""

    def __init__(self) -> None:
        self.port = 0
        self._wanted = 0
        self._came: dict[tuple[bytes, bytes], float] = {}
        self._all = asyncio.Event()

    def expect(self, count: int) -> None:
        """Begin anew, for so many posts."""
        self._wanted, self._came = count, {}
        self._all.clear()

    async def all(self) -> dict[tuple[bytes, bytes], float]:
        """Wait until they are there; answers when they came, by webhook and user."""
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self._all.wait()
        except TimeoutError:
            raise RuntimeError(f"{len(self._came)} of {self._wanted} posts have come") from None
        return self._came

    def take(self, post: bytes) -> None:
        """One has come."""
        where, who = _WHERE.match(post), _WHO.search(post)
        if where is None or who is None:
            raise RuntimeError(f"unexpected: {post.decode()}")
        self._came.setdefault((where[1], who[1]), time.monotonic())
        if len(self._came) == self._wanted:
            self._all.set()


class _Taking(asyncio.Protocol):
    """A connection of the gateway's."""

    def __init__(self, receiver: _Receiver) -> None:
        self._receiver = receiver
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (found := message(self._buffer)) is not None:
            post, self._buffer = self._buffer[: found[1]], self._buffer[found[1] :]
            self._receiver.take(post)
            assert self._transport is not None
            self._transport.write(_TAKEN)


@asynccontextmanager
async def _receiving() -> AsyncIterator[_Receiver]:
    made = _Receiver()
    server = await asyncio.get_running_loop().create_server(lambda: _Taking(made), "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()


@asynccontextmanager
async def _silence() -> AsyncIterator[int]:
    """Takes connections and what they bring, and never answers."""
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
