"""What a code is worth, and what checking it uses up."""

from datetime import UTC, datetime, timedelta

import pytest

from authy_grpc.domain import totp
from authy_grpc.domain.errors import UserLocked
from authy_grpc.domain.limits import FOREVER, Guesses
from authy_grpc.domain.totp import Seed
from authy_grpc.domain.user import Factor
from authy_grpc.domain.verification import SENT_CODE_LIFE, Checked, CodeResult, Codes, SentCode

_NOW = datetime(2026, 11, 24, 12, 0, 10, tzinfo=UTC)
_SECRET = b"12345678901234567890"
_R = CodeResult


def _codes(**fields: object) -> Codes:
    values: dict[str, object] = {"digits": 6, "period": 30, "guesses": Guesses()}
    return Codes(**values | fields)  # type: ignore[arg-type]


def _token(at: datetime = _NOW, secret: bytes = _SECRET) -> str:
    return totp.code(secret, totp.step_at(at, 30), 6)


def _sent(code: str = "123456", **fields: object) -> SentCode:
    values: dict[str, object] = {"code": code, "factor": Factor.SMS, "expire_time": _NOW + SENT_CODE_LIFE}
    return SentCode(**values | fields)  # type: ignore[arg-type]


def test_a_soft_token_is_accepted_once_and_its_step_is_to_be_saved() -> None:
    codes = _codes(seeds=[Seed("one", b"x" * 20, -1), Seed("two", _SECRET, -1)])
    typed = f" {_token()[:3]}-{_token()[3:]} "
    assert codes.check(typed, "", _NOW) == Checked(_R.ACCEPTED, Factor.SOFT_TOKEN, 5)
    assert (codes.steps, codes.taken_by) == ({"two": totp.step_at(_NOW, 30)}, "two")
    assert codes.check(typed, "", _NOW) == Checked(_R.REPLAYED, None, 5)
    assert codes.taken_by is None
    assert codes.guesses == Guesses()


def test_wrong_codes_count_and_lock_and_are_not_looked_at_then() -> None:
    codes = _codes(seeds=[Seed("one", _SECRET, -1)])
    remaining = [codes.check(code, "", _NOW).attempts_remaining for code in ["000000"] * 5]
    assert remaining == [4, 3, 2, 1, 0]
    with pytest.raises(UserLocked) as refusal:
        codes.check(_token(), "", _NOW)
    assert refusal.value.retry_after == timedelta(seconds=30)
    assert codes.guesses.failures == 5
    later = _NOW + timedelta(seconds=30)
    assert codes.check(_token(later), "", later).result is _R.ACCEPTED
    assert codes.guesses == Guesses()


def test_a_sent_code_is_good_for_its_action_once() -> None:
    codes = _codes(sent={"": _sent(), "pay": _sent("654321", factor=Factor.VOICE)})
    assert codes.check("123456", "pay", _NOW).result is _R.WRONG
    assert codes.check("123456", "other", _NOW).result is _R.WRONG
    assert codes.check("123456", "", _NOW) == Checked(_R.ACCEPTED, Factor.SMS, 5)
    assert codes.check("123456", "", _NOW) == Checked(_R.REPLAYED, None, 5)
    assert codes.check("654321", "pay", _NOW) == Checked(_R.ACCEPTED, Factor.VOICE, 5)
    assert (codes.touched, codes.sent["pay"].failures) == ({"", "pay"}, 1)


@pytest.mark.parametrize(("late", "result"), [(-1, _R.ACCEPTED), (0, _R.EXPIRED), (1, _R.EXPIRED)])
def test_a_sent_code_expires_and_that_counts_as_no_failure(late: int, result: CodeResult) -> None:
    codes = _codes(sent={"": _sent()})
    now = _NOW + SENT_CODE_LIFE + timedelta(milliseconds=late)
    assert codes.check("123456", "", now).result is result
    assert codes.guesses == Guesses()


def test_a_sent_code_that_was_used_and_expired_was_used() -> None:
    codes = _codes(sent={"": _sent(used=True, expire_time=_NOW)})
    assert codes.check("123456", "", _NOW).result is _R.REPLAYED


def test_five_guesses_void_a_sent_code_which_is_wrong_and_counts_from_then_on() -> None:
    codes = _codes(sent={"": _sent()})
    for failure in range(1, 6):
        codes.check("000000", "", _NOW)
        assert codes.sent[""].failures == failure
    later = _NOW + timedelta(minutes=1)
    assert codes.check("123456", "", later).result is _R.WRONG
    assert (codes.guesses.failures, codes.sent[""].failures) == (6, 5)


def test_the_fifth_guess_may_be_the_right_one() -> None:
    codes = _codes(sent={"": _sent()})
    for _ in range(4):
        codes.check("000000", "", _NOW)
    assert codes.check("123456", "", _NOW).result is _R.ACCEPTED


def test_a_soft_token_that_is_right_or_replayed_is_no_guess_at_the_sent_code() -> None:
    codes = _codes(seeds=[Seed("one", _SECRET, -1)], sent={"": _sent()})
    codes.check(_token(), "", _NOW)
    codes.check(_token(), "", _NOW)
    assert (codes.sent[""].failures, codes.touched) == (0, set())
    assert codes.check("000000", "", _NOW).result is _R.WRONG
    assert codes.sent[""].failures == 1


def test_a_sent_code_that_looks_like_a_used_token_is_accepted() -> None:
    codes = _codes(seeds=[Seed("one", _SECRET, totp.step_at(_NOW, 30))], sent={"": _sent(_token())})
    assert codes.check(_token(), "", _NOW) == Checked(_R.ACCEPTED, Factor.SMS, 5)


def test_a_backup_code_works_once_while_locked_and_is_never_counted() -> None:
    codes = _codes(backup={b"a", b"b"}, guesses=Guesses(50, FOREVER))
    assert codes.check_backup([b"x"], _NOW) == Checked(_R.WRONG, None, 0)
    assert codes.guesses == Guesses(50, FOREVER)
    assert codes.check_backup([b"x", b"a"], _NOW) == Checked(_R.ACCEPTED, Factor.BACKUP_CODE, 5)
    assert (codes.guesses, codes.spent) == (Guesses(), {b"a"})
    assert codes.check_backup([b"a"], _NOW) == Checked(_R.WRONG, None, 5)
    assert codes.check_backup([b"b"], _NOW).result is _R.ACCEPTED


def test_no_secret_is_in_a_repr() -> None:
    assert "123456" not in repr(_sent())
    assert "factor" in repr(_sent())
