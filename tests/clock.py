"""The clock of the tests, which is turned by hand."""

from datetime import UTC, datetime, timedelta


class TurnedClock:
    """A clock that stands still until it is turned."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def turn(self, **span: float) -> None:
        """Turn it on, by `seconds`, `minutes`, `hours` or `days`."""
        self.now += timedelta(**span)
