"""One thing that the check-up looked at, for people and for programs."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: of the thing.
        level: `ok`, `warn` or `fail`.
        text: what was found.
        mend: what to do; empty where it is ok.
    """

    name: str
    level: str
    text: str
    mend: str = ""

    def as_dict(self) -> dict[str, str]:
        """For a program."""
        return asdict(self)
