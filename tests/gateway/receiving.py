"""A receiver of webhooks that verifies what it gets, and answers as a test likes."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from google.protobuf.message import Message

from authy_grpc.client import Post, verify_webhook
from tests.clock import TurnedClock
from tests.strangers import Stranger, stranger

# The status to answer; 0 hangs up, and -1 never answers.
Mood = Callable[[Post], int]
HANGS_UP, STALLS = 0, -1


def _begun() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


@dataclass
class Receiver:
    """What came, and what was answered with a 2xx.

    Attributes:
        mood: what each post is answered.
        came: how often each event came.
        taken: the events that were answered well, in order, each once.
    """

    clock: TurnedClock
    mood: Mood = lambda _: 204
    secrets: list[str] = field(default_factory=list)
    _answers: asyncio.Event = field(default_factory=_begun)
    port: int = 0
    came: Counter[str] = field(default_factory=Counter)
    taken: list[Post] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def by_subject(self) -> dict[str, list[str]]:
        """The ids of what was taken, about each thing."""
        found: dict[str, list[str]] = defaultdict(list)
        for post in self.taken:
            found[subject(post.event)].append(post.event_id)
        return found

    @contextmanager
    def pausing(self) -> Iterator[None]:
        """Posts are read, and have their answers at the end."""
        self._answers.clear()
        try:
            yield
        finally:
            self._answers.set()

    async def answer(self, there: Stranger, writer: asyncio.StreamWriter) -> None:
        """Verify the newest post and answer it."""
        head, _, body = there.requests[-1].partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")[1:]
        headers = dict(line.split(": ", 1) for line in lines)
        post = verify_webhook(self.secrets, headers, body, now=self.clock())
        self.came[post.event_id] += 1
        status = self.mood(post)
        await self._answers.wait()
        if status == HANGS_UP:
            writer.transport.abort()
        elif status == STALLS:
            await asyncio.Event().wait()
        else:
            if 200 <= status < 300 and post.event_id not in {each.event_id for each in self.taken}:
                self.taken.append(post)
            await there.send(writer, f"HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n".encode())


def subject(event: Message) -> str:
    """What an event is about."""
    name = event.WhichOneof("subject")
    about = getattr(event, name or "")
    return str(getattr(about, {"user": "authy_id", "webhook": "webhook_id"}.get(name or "", f"{name}_id")))


@asynccontextmanager
async def receiver(clock: TurnedClock) -> AsyncIterator[Receiver]:
    """A receiver on loopback."""
    made = Receiver(clock)
    async with stranger(made.answer) as there:
        made.port = there.port
        yield made
