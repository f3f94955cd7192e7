"""A line that cannot be written is dropped and counted, and whoever wrote it goes on."""

import io
import json
import os
from collections.abc import Callable, Iterator
from typing import TextIO

import pytest
from prometheus_client import CollectorRegistry

from authy_grpc.log_stream import LogStream
from authy_grpc.outbound.sms.console import ConsoleSender
from authy_grpc.outbound.sms.sender import Message, Unreachable
from authy_grpc.v1.account_pb2 import StartPhoneVerificationRequest
from authy_grpc.v1.account_pb2_grpc import AccountServiceStub
from tests.clock import TurnedClock
from tests.harness import NUMBER, Service

LINE = "x" * 1000 + "\n"
# More than any pipe holds.
MANY = 2_000


class Counted:
    def __init__(self) -> None:
        self.lines = 0

    def __call__(self) -> None:
        self.lines += 1


def lost(registry: CollectorRegistry) -> float:
    return registry.get_sample_value("log_lines_dropped_total") or 0.0


def test_a_full_disk_and_a_closed_stream_are_counted() -> None:
    dropped = Counted()
    with open("/dev/full", "w") as full:
        LogStream(full, dropped).write(LINE)
    LogStream(None, dropped).write(LINE)
    closed = open(os.devnull, "w")  # noqa: SIM115
    stream = LogStream(closed, dropped)
    closed.close()
    stream.write(LINE)
    assert dropped.lines == 3


def test_a_reader_that_left_is_counted() -> None:
    dropped = Counted()
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as pipe:
        stream = LogStream(pipe, dropped)
        stream.write(LINE)
        assert dropped.lines == 0
        os.close(reading)
        stream.write(LINE)
    assert dropped.lines == 1


def test_a_reader_that_stalls_holds_nobody_up_and_reads_whole_lines_later() -> None:
    dropped = Counted()
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as pipe, os.fdopen(reading, "rb", buffering=0) as reader:
        stream = LogStream(pipe, dropped)
        for _ in range(MANY):
            stream.write("y" * 6_000 + "\n")
        assert 0 < dropped.lines < MANY
        os.set_blocking(reading, False)
        read = b""
        while more := reader.read(65536):
            read += more
        stream.write(LINE)
        read += reader.read(65536) or b""
    *lines, last = read.decode().splitlines()
    assert last == LINE.strip()
    # One at most was cut, and it ends where it was.
    assert sum(len(line) < 6_000 for line in lines if line) <= 1


@pytest.fixture
def full() -> Iterator[TextIO]:
    with open("/dev/full", "w") as stream:
        yield stream


async def test_calls_go_on_where_no_line_can_be_written(
    database_url: str, clock: TurnedClock, random: Callable[[int], bytes], full: TextIO
) -> None:
    service = Service.on(database_url, clock, random)
    service.log = full  # type: ignore[assignment]
    async with service:
        site, phone = await service.site(), await service.phone()
        await service.enroll(site, phone)
        assert lost(service.core.registry) > 0


async def test_calls_go_on_where_a_figure_cannot_be_counted(service: Service) -> None:
    observe = service.core.server._chain._observe
    observe._handled = None  # type: ignore[assignment]
    stub = AccountServiceStub(service.channel())
    started = await stub.StartPhoneVerification(StartPhoneVerificationRequest(phone_number=NUMBER))
    assert started.verification_id
    lines = [json.loads(line) for line in service.log.getvalue().splitlines()]
    assert [line["event"] for line in lines if "errors" in line] == ["observing failed"]


async def test_a_text_that_cannot_be_printed_did_not_go(full: TextIO) -> None:
    for stream in (full, None):
        with pytest.raises(Unreachable):
            await ConsoleSender(stream).send(Message(NUMBER, "code"))
    output = io.StringIO()
    await ConsoleSender(output).send(Message(NUMBER, "code"))
    assert output.getvalue() == f"SMS to {NUMBER}: code\n"
