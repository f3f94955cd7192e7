"""Soft tokens: right by RFC and by another implementation, and good once."""

import base64
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyotp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from authy_grpc.domain import totp
from authy_grpc.domain.totp import Match, Seed, Verdict

SECRET = b"12345678901234567890"
NOW = datetime(2026, 3, 4, 5, 6, 0, tzinfo=UTC)
FRESH = Seed("one", SECRET, -1)


def at(seconds: float) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)


def check(code: str, now: datetime, *seeds: Seed, digits: int = 6, period: int = 30) -> Match:
    return totp.evaluate(seeds or [FRESH], code, now, digits=digits, period=period)


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (59, "94287082"),
        (1111111109, "07081804"),
        (1111111111, "14050471"),
        (1234567890, "89005924"),
        (2000000000, "69279037"),
        (20000000000, "65353130"),
    ],
)
def test_rfc_6238_appendix_b(seconds: int, code: str) -> None:
    step = totp.step_at(at(seconds), 30)
    assert totp.code(SECRET, step, 8) == code
    assert check(code, at(seconds), digits=8) == Match(Verdict.ACCEPTED, "one", step)


def test_rfc_4226_appendix_d() -> None:
    codes = "755224,287082,359152,969429,338314,254676,287922,162583,399871,520489"
    assert ",".join(totp.code(SECRET, step, 6) for step in range(10)) == codes


@given(st.binary(min_size=14, max_size=100), st.integers(0, 2**37), st.integers(6, 8), st.integers(10, 60))
def test_as_pyotp(secret: bytes, seconds: int, digits: int, period: int) -> None:
    other = pyotp.TOTP(base64.b32encode(secret).decode(), digits=digits, interval=period)
    step = totp.step_at(at(seconds), period)
    assert totp.code(secret, step, digits) == other.generate_otp(step)
    assert step == seconds // period


@pytest.mark.parametrize("period", [10, 30, 60])
@pytest.mark.parametrize("away", range(-3, 4))
@pytest.mark.parametrize("edge", [timedelta(0), timedelta(seconds=1)], ids=["start", "end"])
@pytest.mark.parametrize("millis", [-1, 0, 1])
def test_the_window(period: int, away: int, edge: timedelta, millis: int) -> None:
    start = NOW + edge * period
    now = start + timedelta(milliseconds=millis)
    present = int(start.timestamp()) // period - (millis < 0)
    code = totp.code(SECRET, present + away, 8)
    found = check(code, now, digits=8, period=period)
    expected = (
        Match(Verdict.ACCEPTED, "one", present + away) if abs(away) <= 1 else Match(Verdict.WRONG, None, None)
    )
    assert found == expected


def test_a_moment_before_the_boundary_is_the_step_before() -> None:
    boundary = at(30 * 10**9)
    assert totp.step_at(boundary, 30) == 10**9
    assert totp.step_at(boundary - timedelta(microseconds=1), 30) == 10**9 - 1


def test_the_first_step_of_all() -> None:
    assert check(totp.code(SECRET, 0, 6), at(0)).step == 0


@pytest.mark.parametrize(
    "code",
    [
        *("", "75522", "7552240", "0755224", " 755224", "755224 ", "755 224", "-55224", "+55224", "7_5224"),
        *(
            "\u0667\u0665\u0665\u0662\u0662\u0664",
            "\uff17\uff15\uff15\uff12\uff12\uff14",
            "75522\u00b2",
            "75522\x00",
            "75522\ud800",
            "0x5224",
        ),
        *("75522\n", "\u0661\u0662\u0663\u0664\u0665\u0666"),
    ],
)
def test_what_is_no_code_is_wrong(code: str) -> None:
    assert check("755224", at(0)).verdict is Verdict.ACCEPTED
    assert check(code, at(0)) == Match(Verdict.WRONG, None, None)


def test_no_seeds_no_match() -> None:
    assert totp.evaluate([], "755224", at(0), digits=6, period=30).verdict is Verdict.WRONG


@pytest.mark.parametrize("skew", range(-45, 46))
def test_an_accepted_code_is_never_accepted_again(skew: int, figure: Callable[[int, int], int]) -> None:
    for start in range(0, 30, figure(7, 1)):
        now = NOW + timedelta(seconds=start)
        made = totp.step_at(now + timedelta(seconds=skew), 30)
        code = totp.code(SECRET, made, 6)
        first = check(code, now)
        inside = abs(made - totp.step_at(now, 30)) <= 1
        assert first == (Match(Verdict.ACCEPTED, "one", made) if inside else Match(Verdict.WRONG, None, None))
        if first.step is None:
            continue
        used = replace(FRESH, last_step=first.step)
        earlier = [totp.code(SECRET, first.step - back, 6) for back in range(3)]
        good_if_not_saved = 0
        for later in range(120):
            moment = now + timedelta(seconds=later)
            assert all(check(old, moment, used).verdict is not Verdict.ACCEPTED for old in earlier)
            good_if_not_saved += check(code, moment).verdict is Verdict.ACCEPTED
        assert good_if_not_saved > 0


def test_used_and_earlier_codes_are_replayed_while_they_would_match() -> None:
    present = totp.step_at(NOW, 30)
    used = replace(FRESH, last_step=present)
    assert check(totp.code(SECRET, present, 6), NOW, used) == Match(Verdict.REPLAYED, "one", present)
    assert check(totp.code(SECRET, present - 1, 6), NOW, used) == Match(Verdict.REPLAYED, "one", present - 1)
    assert check(totp.code(SECRET, present - 2, 6), NOW, used).verdict is Verdict.WRONG
    assert check(totp.code(SECRET, present + 1, 6), NOW, used) == Match(Verdict.ACCEPTED, "one", present + 1)


def test_two_devices_with_clocks_apart_do_not_spoil_each_other() -> None:
    present = totp.step_at(NOW, 30)
    ahead, behind = Seed("ahead", SECRET, -1), Seed("behind", SECRET[::-1], -1)
    first = check(totp.code(ahead.secret, present + 1, 6), NOW, ahead, behind)
    assert first == Match(Verdict.ACCEPTED, "ahead", present + 1)
    ahead = replace(ahead, last_step=present + 1)
    second = check(totp.code(behind.secret, present - 1, 6), NOW, ahead, behind)
    assert second == Match(Verdict.ACCEPTED, "behind", present - 1)
    behind = replace(behind, last_step=present - 1)
    third = check(totp.code(behind.secret, present, 6), NOW, ahead, behind)
    assert third == Match(Verdict.ACCEPTED, "behind", present)


# One digit, so that codes are the same by chance all the time.
@given(
    st.lists(st.binary(min_size=20, max_size=20), min_size=1, max_size=4), st.integers(0, 10**6), st.data()
)
def test_the_same_digits_are_good_once(secrets: list[bytes], start: int, data: st.DataObject) -> None:
    seeds = {str(n): Seed(str(n), secret, -1) for n, secret in enumerate(secrets)}
    digit = str(data.draw(st.integers(0, 9)))
    seen_to = -1
    for second in data.draw(st.lists(st.integers(0, 200), max_size=30).map(sorted)):
        now = at(start + second)
        found = check(digit, now, *seeds.values(), digits=1)
        if found.verdict is Verdict.ACCEPTED:
            assert found.key_id is not None and found.step is not None
            # Another code that happens to read the same, of a step that no earlier call could see.
            assert found.step > seen_to
            seeds[found.key_id] = replace(seeds[found.key_id], last_step=found.step)
            seen_to = totp.step_at(now, 30) + 1
            again = check(digit, now, *seeds.values(), digits=1)
            assert again.verdict is Verdict.REPLAYED


def test_digits_of_several_steps_use_up_the_latest() -> None:
    secret = next(
        secret
        for secret in (bytes([n]) * 20 for n in range(256))
        if totp.code(secret, 99, 1) == totp.code(secret, 101, 1) != totp.code(secret, 100, 1)
    )
    code = totp.code(secret, 99, 1)
    assert check(code, at(3000), Seed("k", secret, -1), digits=1) == Match(Verdict.ACCEPTED, "k", 101)
    assert check(code, at(3000), Seed("k", secret, 99), digits=1).verdict is Verdict.REPLAYED


def test_a_seed_does_not_show_its_secret() -> None:
    assert repr(FRESH) == "Seed(key_id='one', last_step=-1)"
