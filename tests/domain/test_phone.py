"""How a number is proven."""

from datetime import UTC, datetime, timedelta

import pytest

from authy_grpc.domain.phone import GUESSES, PhonePurpose, body, may_guess

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("failures", "left", "may"),
    [(0, 1, True), (GUESSES - 1, 1, True), (GUESSES, 1, False), (0, 0, False), (0, -1, False)],
)
def test_a_code_may_be_tried_five_times_until_its_time_is_over(failures: int, left: int, may: bool) -> None:
    assert may_guess(failures, NOW + timedelta(milliseconds=left), NOW) is may


@pytest.mark.parametrize("purpose", PhonePurpose)
def test_each_purpose_has_words_of_its_own(purpose: PhonePurpose) -> None:
    others = {body(each, "012345") for each in PhonePurpose if each is not purpose}
    assert body(purpose, "012345") not in others and body(purpose, "012345").count("012345") == 1
