"""How a number is proven."""

from datetime import UTC, datetime, timedelta

import pytest

from authy_grpc.domain.phone import GUESSES, PhoneChannel, PhonePurpose, body, may_guess

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("failures", "left", "may"),
    [(0, 1, True), (GUESSES - 1, 1, True), (GUESSES, 1, False), (0, 0, False), (0, -1, False)],
)
def test_a_code_may_be_tried_five_times_until_its_time_is_over(failures: int, left: int, may: bool) -> None:
    assert may_guess(failures, NOW + timedelta(milliseconds=left), NOW) is may


@pytest.mark.parametrize("purpose", PhonePurpose)
def test_each_purpose_has_words_of_its_own(purpose: PhonePurpose) -> None:
    said = {each: body(each, PhoneChannel.VOICE, "012345", "auth.example") for each in PhonePurpose}
    assert list(said.values()).count(said[purpose]) == 1 and said[purpose].count("012345") == 1


@pytest.mark.parametrize("purpose", PhonePurpose)
def test_a_text_ends_in_the_line_that_binds_its_code_to_our_pages(purpose: PhonePurpose) -> None:
    text = body(purpose, PhoneChannel.SMS, "012345", "auth.example")
    assert text.endswith("\n\n@auth.example #012345") and text.startswith("012345 ") and len(text) <= 160
    assert "@" not in body(purpose, PhoneChannel.VOICE, "012345", "auth.example")
