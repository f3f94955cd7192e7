"""A device that waits is shown to the owner, and that it was shown is acknowledged."""

from datetime import UTC, timedelta

import pytest

from authy_grpc.cli import handset
from tests.harness import Service


async def test_a_waiting_device_is_shown_and_acknowledged(
    service: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    phone = await service.phone()
    alone = await phone.devices()
    assert await handset.show_waiting(phone, alone) == alone
    assert capsys.readouterr().out == ""
    service.clock.turn(seconds=30)
    held = await service.phone(name="Tablet")
    [_, waits] = await handset.show_waiting(phone, await phone.devices())
    assert waits.release_time.ToDatetime(UTC) == service.clock() + timedelta(hours=24)
    assert f"'Tablet', {held.device_id}" in " ".join(capsys.readouterr().out.split())


async def test_one_that_was_let_in_by_time_shows_and_says_nothing(service: Service) -> None:
    await service.phone()
    service.clock.turn(seconds=30)
    limited = await service.phone(name="Tablet")
    service.clock.turn(days=7)
    await service.phone(name="Third")
    [_, _, before] = await limited.devices()
    [_, _, after] = await handset.show_waiting(limited, await limited.devices())
    assert after == before
