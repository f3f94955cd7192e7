"""The synchronous client is made of the asynchronous one."""

import pytest

from scripts import unasync


def sources() -> dict[str, str]:
    return {name: (unasync.CLIENT / name).read_text() for name in unasync.MADE}


def test_what_is_kept_is_what_its_source_makes() -> None:
    for name, text in unasync.made(sources()).items():
        assert (unasync.CLIENT / name).read_text() == text
        assert "async" not in text.removeprefix(text.partition("\n")[0]).lower()


def test_a_change_of_the_source_shows() -> None:
    changed = sources()
    changed["async_client.py"] += "\n\nasync def more() -> None:\n    await other()\n"
    assert unasync.made(changed)["sync_client.py"].endswith("def more() -> None:\n    other()\n")


def test_a_phrase_that_is_found_no_more_is_an_error() -> None:
    changed = {name: text.replace("aio_channel()", "channel()") for name, text in sources().items()}
    with pytest.raises(LookupError, match="aio_channel"):
        unasync.made(changed)
