"""Keeps what the database knows of itself, by name: marks of its keyset, and how far its feed was pruned."""

from dataclasses import dataclass, field

from authy_grpc.store.rows import Rows
from authy_grpc.store.tables import MetaRow


@dataclass(slots=True)
class Kept:
    """Something by its name, as it is kept: `MetaRow`."""

    name: str
    value: bytes = field(repr=False)


ROWS = Rows(Kept, MetaRow)
