"""Places in the feed: their order, their bytes, and up to where the feed is no longer kept."""

import struct
from typing import TYPE_CHECKING, NamedTuple

from authy_grpc.store import meta

if TYPE_CHECKING:
    from authy_grpc.store.tx import Tx

_PRUNED = "feed.pruned"
# All places are as long as each other: a cursor's length says nothing of how much happens at other sites.
_FORM = struct.Struct(">qqq")


class Position(NamedTuple):
    """A place in the order of all events: the feed goes on after it."""

    epoch: int
    xid: int
    sequence: int


EARLIEST = Position(-1, 0, 0)


def pack(position: Position) -> bytes:
    """A place as 24 bytes."""
    return _FORM.pack(*position)


def unpack(data: bytes) -> Position:
    """The place that `pack` wrote."""
    return Position(*_FORM.unpack(data))


def pruned(tx: "Tx", *, lock: bool = False) -> Position:
    """The newest event that is no longer kept: a cursor before it has missed something.

    Args:
        tx: of the work.
        lock: whether the work will remove more.
    """
    row = meta.ROWS.find(tx, _PRUNED, lock=lock)
    return unpack(row.value) if row else EARLIEST


def set_pruned(tx: "Tx", position: Position) -> None:
    """Say that all up to a place has been removed."""
    meta.ROWS.put(tx, meta.Kept(_PRUNED, pack(position)))
