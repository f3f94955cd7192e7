"""A gateway or a core that is killed at any point of a post loses none of it, and another takes over."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import text

from authy_grpc.store.engine import connect
from authy_grpc.store.tables import DeliveryRow
from authy_grpc.v1.webhook_pb2 import ReportDeliveryRequest
from tests.e2e.road import SUBJECTS, Road, Told
from tests.e2e.wire import Party
from tests.gateway.halting import live
from tests.harness import Service
from tests.mortal import Life
from tests.rushing import PATIENCE

POINTS = ("leased", "connected", "sent", "answered", "reported")


async def kill_gateway(road: Road, point: str) -> None:
    """Kill a gateway whose posts have got to a point, and let another one take over."""
    await road.begin(point)
    service, told, before = road.service, road.told, len(road.came)
    key = service.secrets.gateway_key
    life = Life(live, service.target, key, service.clock(), point)
    try:
        async with asyncio.timeout(PATIENCE):
            if point in ("connected", "sent"):
                await told.until(lambda: len(told.names[point]) == SUBJECTS)
                names = []
            else:
                names = [await life.word() for _ in range(SUBJECTS)]
    finally:
        life.kill()
    road.let_go()
    await road.served()
    if point == "reported":
        states = {row.delivery_id: row.state for row in await road.rows()}
        assert {states[each] for each in names} == {"DELIVERED"}

    async def report_late(late: Sequence[DeliveryRow]) -> None:
        deliveries = Party(service.channel(), key).deliveries
        for row in late:
            for status in (204, 500):
                report = ReportDeliveryRequest(
                    delivery_id=row.delivery_id, attempt=row.attempts, http_status=status
                )
                await deliveries.ReportDelivery(report)

    late = await road.take_over(report_late)
    times = Counter(post.event_id for post in road.came[before:])
    if point == "reported":
        assert all(times[each] == 1 for each in times if each not in late)
    else:
        # What was sent and not reported is sent again.
        expected = {"leased": {1}, "connected": {1, 2}}.get(point, {2})
        assert len(late) == SUBJECTS and {times[each] for each in late} <= expected


async def kill_core(road: Road, point: str, *, soon: bool) -> None:
    """Kill the core when a gateway's posts have got to a point; it may be back while their leases last."""
    await road.begin(point)
    told, before = road.told, len(road.came)
    async with road.gateway(told):
        await told.until(lambda: len(told.names[point]) >= SUBJECTS)
        reported = list(told.names["reported"])
        road.mortal.kill()
        road.let_go()
        # What it has, it posts.
        await told.until(lambda: set(told.names["leased"]) <= set(told.names["answered"]))
        states = {row.delivery_id: row.state for row in await road.rows()}
        assert all(states[each] == "DELIVERED" for each in reported)
        await road.mortal.start()
        if soon:
            # What the gateway has to report is as good as before.
            told.asks_again.set()
            await road.delivered()
            times = Counter(post.event_id for post in road.came[before:])
            assert set(times.values()) == {1} and len(times) == 2 * SUBJECTS
        else:
            late = await road.take_over(partial(own_reports, told))
            times = Counter(post.event_id for post in road.came[before:])
            assert point == "reported" or [times[each] for each in late] == [2] * SUBJECTS


async def own_reports(told: Told, late: Sequence[DeliveryRow]) -> None:
    """Have a gateway report what it posted, now that the core is back and others work on it."""
    names = {row.delivery_id for row in late if row.event_id in told.names["leased"]}
    told.asks_again.set()
    await told.until(lambda: names <= set(told.names["reported"]))


@pytest.mark.parametrize("point", POINTS)
async def test_a_gateway_that_is_killed_loses_nothing(
    service: Service, tmp_path: Path, point: str, figure: Callable[[int, int], int]
) -> None:
    async with Road.of(service, tmp_path) as road:
        for _ in range(figure(1, 100)):
            await kill_gateway(road, point)
            assert await road.findings() == []


@pytest.mark.parametrize("point", POINTS)
async def test_a_core_that_is_killed_loses_nothing(
    service: Service, tmp_path: Path, point: str, figure: Callable[[int, int], int]
) -> None:
    async with Road.of(service, tmp_path) as road:
        for number in range(figure(2, 100)):
            # Once some are reported, others may be leased that get to no gateway.
            await kill_core(road, point, soon=number % 2 == 1 and point != "reported")
            assert await road.findings() == []


async def test_what_is_lost_or_out_of_order_is_noticed(service: Service, tmp_path: Path) -> None:
    async with Road.of(service, tmp_path) as road:
        await road.begin("")
        engine = connect(service.url, writes=True, connections=1)
        with engine.begin() as connection:
            where = "sequence = (SELECT min(sequence) FROM delivery)"
            lost = connection.execute(text(f"SELECT event_id FROM delivery WHERE {where}")).scalar()
            assert connection.execute(text(f"DELETE FROM delivery WHERE {where}")).rowcount == 1
        engine.dispose()
        async with road.gateway(road.told):
            await road.delivered()
        assert await road.findings() == [f"{lost} is lost", f"{lost} is delivered 0 times"]
        road.came.reverse()
        assert sum("out of order" in each for each in await road.findings()) == SUBJECTS - 1


async def test_a_report_of_the_last_lease_would_count(service: Service, tmp_path: Path) -> None:
    async with Road.of(service, tmp_path) as road:
        await road.begin("leased")
        deliveries = Party(service.channel(), service.secrets.gateway_key).deliveries
        async with road.gateway(road.told):
            await road.told.until(lambda: len(road.told.names["leased"]) == SUBJECTS)
            leased = [row for row in await road.rows() if row.lease_until is not None]
            for row, attempt in zip(leased, (0, 1, 2), strict=True):
                own = ReportDeliveryRequest(
                    delivery_id=row.delivery_id, attempt=row.attempts - 1 + attempt, http_status=204
                )
                await deliveries.ReportDelivery(own)
            names = [row.delivery_id for row in leased]
            states = [row.state for row in await road.rows() if row.delivery_id in names]
            assert states == ["PENDING", "DELIVERED", "PENDING"]
