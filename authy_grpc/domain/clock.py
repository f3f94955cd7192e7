"""Tells times that are known to be wrong: kept by a clock that ran ahead, and was set right since."""

from datetime import datetime, timedelta

# What has happened cannot lie in the future. Servers' clocks differ by seconds, a code may be of the next
# step and a proof of the next minute: what lies further ahead was kept by a clock that was wrong.
WELL_BEYOND_NOW = timedelta(minutes=5)


def lies_well_beyond(happened: datetime, now: datetime) -> bool:
    """Whether the time of something that happened is known to be wrong, so that nothing is decided by it.

    Never to be asked of an end that was set, such as of a lock, a freeze or a hold: those lie ahead.
    """
    return happened > now + WELL_BEYOND_NOW
