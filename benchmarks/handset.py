"""A user's phone at hand: its keys, and its inbox, which stays open from question to question."""

import asyncio
from typing import Any

from authy_grpc.phone import Phone
from benchmarks.control import Target
from benchmarks.seed import Person
from benchmarks.server import ORIGIN


class Handset:
    """A user's phone, with its inbox open once it has been asked to listen."""

    def __init__(self, target: Target, person: Person) -> None:
        self.person = person
        self.phone = Phone(target.channel, origin=ORIGIN)
        self.phone._session.keeper.create(person.state)
        self._questions: asyncio.Queue[Any] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    async def listen(self) -> None:
        """Open the inbox, if it is not."""
        if self._task is None:
            opened = asyncio.Event()
            self._task = asyncio.create_task(self._read(opened))
            await opened.wait()

    async def approve(self, approval_id: str, match_number: str) -> None:
        """Wait for a question, and say yes to it."""
        while (question := await self._questions.get()).approval_id != approval_id:
            pass
        await self.phone.approve(question, match_number)

    async def close(self) -> None:
        """Close the inbox."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _read(self, opened: asyncio.Event) -> None:
        seen = ""
        async for pending in self.phone.inbox():
            opened.set()
            for question in pending:
                if question.approval_id != seen:
                    seen = question.approval_id
                    self._questions.put_nowait(question)
