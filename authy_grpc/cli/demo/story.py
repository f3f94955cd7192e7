"""The demo's nine steps, in order."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from authy_grpc.cli.demo import asking, enrolling, parting, proving, rest
from authy_grpc.cli.demo.report import Report
from authy_grpc.cli.demo.stage import DEVICE_NAME, NUMBER, Site, Stage
from authy_grpc.client import AsyncClient
from authy_grpc.v1.event_pb2 import Event, ListEventsRequest

_PATIENCE = 15.0


@dataclass
class Story:
    """The steps, each of which goes on from the one before.

    Attributes:
        stage: where they play.
        report: tells them.
    """

    stage: Stage
    report: Report

    async def tell(self) -> None:
        """Tells all of it.

        Raises:
            Unexpected: a step is not as it should be.
        """
        steps: list[tuple[str, Callable[[], Awaitable[None]]]] = [
            ("The operator adds two sites and their API keys", self._add_sites),
            ("A phone proves its number, registers its keys", self._register),
            ("Site one enrolls it by QR code, and watches", self._enroll),
            ("Codes: soft token, replayed, made up, texted", self._prove),
            ("An approval, and its receipt checked by the site", self._ask),
            ("Site two, same phone: what do both sites know?", self._part),
            ("The event feed: read, cut off, resumed", self._read_events),
            ("A site that only speaks REST: the same, by curl", self._speak_rest),
            ("Its webhook: posted, signed, verified", self._receive),
        ]
        for title, step in steps:
            with self.report.step(title):
                await step()

    @property
    def _one(self) -> Site:
        return self.stage.sites[0]

    async def _add_sites(self) -> None:
        await self.stage.add_site("Kestrel Bicycles", "https://kestrel.example", "customer-20417")
        await self.stage.add_site("Harbour Library", "https://library.example", "reader/wren")
        for site in self.stage.sites:
            shown = site.api_key[:7] + "…"
            self.report.check(
                f"{site.name} ({site.origin}) has the API key {shown}", site.api_key[:3] == "ak_"
            )

    async def _register(self) -> None:
        verification = await self.stage.phone.start(NUMBER)
        code = await self.stage.text()
        self.report.check(f"a text message to {NUMBER} says {code}", bool(code))
        answer = await self.stage.phone.register(verification, code, DEVICE_NAME)
        self.report.check(
            f"{DEVICE_NAME} is {answer.device.device_id}",
            self.stage.phone.registered and not answer.other_devices,
        )
        account = await self.stage.phone.account()
        self.report.check("only the owner's own device is shown the number", account.phone_number == NUMBER)

    async def _enroll(self) -> None:
        await enrolling.enroll(self.stage, self._one, self.report, aloud=True)

    async def _prove(self) -> None:
        await proving.prove(self.stage, self._one, self.report)

    async def _ask(self) -> None:
        await asking.ask(self.stage, self._one, self.report, asking.invoice(self._one), aloud=True)

    async def _part(self) -> None:
        await parting.part(self.stage, self._one, self.stage.sites[1], self.report)

    async def _read_events(self) -> None:
        listed = await self._one.client.events.ListEvents(
            ListEventsRequest(cursor="earliest", page_size=1000)
        )
        expected = [event.event_id for event in listed.events]
        half = len(expected) // 2
        # The first reader is cut off: its connection goes, and with it all that it had not dealt with.
        async with AsyncClient(f"grpc://{self.stage.target}", self._one.api_key) as first:
            before, cursor = await _read(first, "earliest", half)
        async with AsyncClient(f"grpc://{self.stage.target}", self._one.api_key) as second:
            after, _ = await _read(second, cursor, len(expected) - half)
        self.report.table(
            ["", "event", "when"],
            [
                [
                    "cut off here" if number == half else "",
                    event.type,
                    f"{event.create_time.ToDatetime():%H:%M:%S.%f}"[:-3],
                ]
                for number, event in enumerate([*before, *after], 1)
            ],
        )
        read = [event.event_id for event in (*before, *after)]
        self.report.check(f"{half} events from `earliest`, then cut off", len(before) == half > 0)
        self.report.check(
            f"{len(after)} more from the cursor: none lost, none twice",
            read == expected,
            f"{read} {expected}",
        )
        self.report.fact("events", {"before": len(before), "after": len(after)})

    async def _speak_rest(self) -> None:
        site = await self.stage.add_site("Orchard Post", "https://orchard.example", rest.USER, manages=True)
        await rest.enroll(self.stage, site, self.report)

    async def _receive(self) -> None:
        await rest.receive(self.stage, self.stage.sites[-1], self.report)


async def _read(client: AsyncClient, cursor: str, count: int) -> tuple[list[Event], str]:
    found: list[Event] = []
    events: Any = client.watch_events(cursor)
    async with aclosing(events), asyncio.timeout(_PATIENCE):
        while len(found) < count:
            at = await anext(events)
            found.append(at.event)
            cursor = at.cursor
    return found, cursor
