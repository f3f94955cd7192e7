"""Senders are chosen by a URL, and numbers by what they are."""

import io
import json
import stat
from pathlib import Path

import pytest

from authy_grpc.domain.phone import PhoneChannel
from authy_grpc.outbound import sms
from authy_grpc.outbound.sms.number import Numbers
from authy_grpc.outbound.sms.sender import Message, Refused, Unreachable
from tests.clock import TurnedClock

MESSAGE = Message("+4915112345678", "123456 ist Ihr Schlüssel.")


async def test_a_file_gets_a_json_line_a_text_and_is_its_owners_alone(
    tmp_path: Path, clock: TurnedClock
) -> None:
    path = tmp_path / "texts.jsonl"
    sender = sms.from_url(f"file:{path}", stream=io.StringIO(), clock=clock)
    assert not path.exists()
    await sender.send(MESSAGE)
    path.chmod(0o644)
    clock.turn(seconds=1)
    await sender.send(Message("+4915112345679", "two\nlines"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    first, second = [json.loads(line) for line in path.read_text().splitlines()]
    assert first == {
        "to": MESSAGE.number,
        "body": MESSAGE.body,
        "time": "2026-11-24T12:00:00+00:00",
    }
    assert (second["body"], second["time"]) == ("two\nlines", "2026-11-24T12:00:01+00:00")


async def test_a_file_that_cannot_be_written_is_unreachable(tmp_path: Path, clock: TurnedClock) -> None:
    sender = sms.from_url(f"file:{tmp_path / 'missing' / 'texts'}", stream=io.StringIO(), clock=clock)
    with pytest.raises(Unreachable):
        await sender.send(MESSAGE)


async def test_the_console_shows_who_gets_what(clock: TurnedClock) -> None:
    stream = io.StringIO()
    sender = sms.from_url("console:", stream=stream, clock=clock)
    await sender.send(MESSAGE)
    await sender.send(Message("+4915112345678", "Ring", PhoneChannel.VOICE))
    assert stream.getvalue().splitlines() == [
        f"SMS to {MESSAGE.number}: {MESSAGE.body}",
        "VOICE to +4915112345678: Ring",
    ]


async def test_without_a_url_nothing_goes(clock: TurnedClock) -> None:
    with pytest.raises(Refused):
        await sms.from_url("", stream=io.StringIO(), clock=clock).send(MESSAGE)


@pytest.mark.parametrize("url", ["file:", "twilio://SID:hunter2@/FROM", "hunter2"])
def test_an_unknown_url_is_refused_and_not_repeated(url: str, clock: TurnedClock) -> None:
    with pytest.raises(ValueError, match="AUTHY_SMS_URL") as refused:
        sms.from_url(url, stream=io.StringIO(), clock=clock)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("number", "allowed"),
    [
        ("+4915112345678", True),
        ("+14155552671", True),
        ("+15005550006", True),
        ("+3545551234", True),
        ("+19005550006", False),  # premium rate
        ("+448451234567", False),  # shared cost
        ("+818001234567", False),  # toll free
        ("+4915112345678 ", False),
        ("+49015112345678", False),
        ("+4915", False),
        ("+٤٩15112345678", False),
        ("", False),
    ],
)
def test_numbers_are_refused_by_kind_and_spelling(number: str, allowed: bool) -> None:
    assert Numbers().allow(number) is allowed


def test_countries_are_an_allow_list() -> None:
    numbers = Numbers("DE, at,")
    assert numbers.allow("+4915112345678") and numbers.allow("+4369910203040")
    assert not numbers.allow("+14155552671") and not numbers.allow("+447911123456")
    with pytest.raises(ValueError, match="XX"):
        Numbers("DE,XX")


def test_a_message_does_not_show_itself() -> None:
    assert "123456" not in repr(MESSAGE) and MESSAGE.number not in repr(MESSAGE)
