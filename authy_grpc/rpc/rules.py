"""Checks values against the limits of fields. What is said to be wrong never repeats the value."""

import ipaddress
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from authy_grpc.domain.visible import wrong_in

_PNG = b"\x89PNG\r\n\x1a\n"
_BILLION = 1_000_000_000
_DURATION_SECONDS = 315_576_000_000
_TIMESTAMP_SECONDS = (-62_135_596_800, 253_402_300_799)
_HOST = r"(?:(?!-)[a-z0-9-]{1,63}(?<!-)\.)*(?!-)[a-z0-9-]{1,63}(?<!-)"
_ORIGIN = re.compile(rf"https?://(?P<host>{_HOST}|\[[0-9a-f:.]+\])(?::(?P<port>[1-9][0-9]{{0,4}}))?")
_LOCAL = frozenset({"localhost", "127.0.0.1", "[::1]"})


class Rule(Protocol):
    """A limit of one value."""

    def check(self, value: Any, /) -> str | None:
        """What is wrong with a value; None where nothing is."""


@dataclass(frozen=True)
class Text:
    """Code points of a string.

    Attributes:
        low: the least; above 0 the field is required.
        high: the most.
        human: people read it: nothing in it that cannot be seen.
        pattern: a regular expression that all of it must match.
    """

    low: int = 0
    high: int = 256
    human: bool = False
    pattern: str = ""

    def check(self, value: str, /) -> str | None:
        if not self.low <= len(value) <= self.high:
            if not value:
                return "is required"
            return f"must have {self.low} to {self.high} characters"
        if "\x00" in value:
            return "must have no control characters"
        if self.human and (wrong := wrong_in(value)) is not None:
            return wrong
        if self.pattern and not re.fullmatch(self.pattern, value):
            return f"must match {self.pattern}"
        return None


@dataclass(frozen=True)
class Size:
    """Bytes of a value that has one size.

    Attributes:
        exact: how many bytes.
        empty: whether it may be left out.
    """

    exact: int
    empty: bool = False

    def check(self, value: bytes, /) -> str | None:
        if len(value) == self.exact or (self.empty and not value):
            return None
        return f"must have {self.exact} bytes" if value else "is required"


@dataclass(frozen=True)
class Png:
    """A PNG image, or nothing.

    Attributes:
        high: the most bytes.
    """

    high: int

    def check(self, value: bytes, /) -> str | None:
        if len(value) > self.high:
            return f"must have at most {self.high} bytes"
        if value and not (value.startswith(_PNG) and value[12:16] == b"IHDR"):
            return "must be a PNG image"
        return None


@dataclass(frozen=True)
class Number:
    """A whole number.

    Attributes:
        zero: whether 0 is taken beside the range: unset, or none.
    """

    low: int
    high: int
    zero: bool = True

    def check(self, value: int, /) -> str | None:
        if self.low <= value <= self.high or (self.zero and value == 0):
            return None
        return f"must be {self.low} to {self.high}"


@dataclass(frozen=True)
class PageSize:
    """How many to list: what is more than `high` is capped by the use case, and no error."""

    low: int = 1
    high: int = 1000

    def check(self, value: int, /) -> str | None:
        return "must not be negative" if value < 0 else None


@dataclass(frozen=True)
class Span:
    """A length of time, where it is set."""

    low: timedelta = timedelta.min
    high: timedelta = timedelta.max

    def check(self, value: Duration, /) -> str | None:
        seconds, nanos = value.seconds, value.nanos
        if abs(seconds) > _DURATION_SECONDS or abs(nanos) >= _BILLION or seconds * nanos < 0:
            return "must be a duration"
        if not _nanos(self.low) <= seconds * _BILLION + nanos <= _nanos(self.high):
            if self.high == timedelta.max:
                return f"must be {self.low.total_seconds():g} s or more"
            return f"must be {self.low.total_seconds():g} s to {self.high.total_seconds():g} s"
        return None


def _nanos(span: timedelta) -> int:
    return (span.days * 86_400 + span.seconds) * _BILLION + span.microseconds * 1000


@dataclass(frozen=True)
class Instant:
    """A point in time, where it is set."""

    def check(self, value: Timestamp, /) -> str | None:
        if _TIMESTAMP_SECONDS[0] <= value.seconds <= _TIMESTAMP_SECONDS[1] and 0 <= value.nanos < _BILLION:
            return None
        return "must be a time between the years 1 and 9999"


@dataclass(frozen=True)
class Choice:
    """A value of an enum.

    Attributes:
        known: the numbers that the contract has.
        required: whether unspecified will not do.
    """

    required: bool = False
    known: frozenset[int] = frozenset()

    def check(self, value: int, /) -> str | None:
        if self.required and value == 0:
            return "is required"
        return None if value in self.known else "is not known"


@dataclass(frozen=True)
class Origin:
    """A web origin in its one spelling: scheme, host, and a port where it is not 443.

    Attributes:
        local: whether http is taken of this machine (development).
        empty: whether it may be left out.
    """

    local: bool = False
    empty: bool = False

    def check(self, value: str, /) -> str | None:
        if not value:
            return None if self.empty else "is required"
        found = _ORIGIN.fullmatch(value)
        if (
            len(value) > 256
            or found is None
            or not _is_host(found["host"])
            or int(found["port"] or 1) > 65_535
        ):
            return "must be an origin such as https://example.com, in lower case and without a path"
        if value.startswith("http:") and not (self.local and found["host"] in _LOCAL):
            return "must begin with https://"
        return None


def _is_host(host: str) -> bool:
    """Whether a host is a name, or an address in a form that nobody reads as another one."""
    bare = host.strip("[]")
    if host != bare or host.rpartition(".")[2].isdigit():
        try:
            return str(ipaddress.ip_address(bare)) == bare
        except ValueError:
            return False
    return len(host) <= 253


@dataclass(frozen=True)
class Items:
    """How many a list has, and what each must be (a list of messages: by the limits of their fields).

    Attributes:
        each: the rule for each; None where its type says it all.
    """

    high: int = 100
    each: Rule | None = None

    def check(self, value: Any, /) -> str | None:
        return f"must have at most {self.high} entries" if len(value) > self.high else None


@dataclass(frozen=True)
class Entries:
    """How many entries a map has, and what their names and values must be."""

    high: int
    names: Text
    values: Text

    def check(self, value: dict[str, str], /) -> str | None:
        if len(value) > self.high:
            return f"must have at most {self.high} entries"
        for name, text in value.items():
            if (wrong := self.names.check(name)) is not None:
                return f"has a name that is not valid: {wrong}"
            if (wrong := self.values.check(text)) is not None:
                return f"has a value that is not valid: {wrong}"
        return None


@dataclass(frozen=True)
class Required:
    """A message that must be there."""

    def check(self, value: Any, /) -> str | None:
        return None


@dataclass(frozen=True)
class Unsupported:
    """A field that this server does not serve yet."""

    def check(self, value: Any, /) -> str | None:
        return "is not supported by this server yet: leave it unset" if value else None


@dataclass(frozen=True)
class Update:
    """Of a whole request: it changes the fields of a resource that `update_mask` names, no others.

    Attributes:
        resource: the field that holds it.
        paths: what may be changed.
        key: its id; empty where the caller's own is meant.
    """

    resource: str
    paths: tuple[str, ...]
    key: str = ""
