"""Prints what commands got: tables for people, the contract's JSON for programs."""

import json
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

_WIDEST = 5000

console = Console(highlight=False, soft_wrap=True)


def as_json(found: Any) -> None:
    """Prints one JSON document: messages as proto3 JSON, in the contract's lowerCamelCase."""
    print(json.dumps(_plain(found), indent=2, ensure_ascii=False), flush=True)


def say(*lines: str | Text, style: str | None = None) -> None:
    """Prints what may be lost: for commands that serve, which go on where nobody reads their output."""
    try:
        console.print(*lines, style=style)
    except (OSError, SystemExit):
        # SystemExit: rich ends a program whose reader has left. What is still buffered would fail at exit.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115


def table(columns: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> None:
    """Prints rows in columns."""
    shown = Table(*columns, box=box.SIMPLE, header_style="bold", pad_edge=False)
    for row in rows:
        # As text: what people have named must not be read as markup.
        shown.add_row(*(Text(each) if isinstance(each, str) else each for each in row))
    whole(shown)


def facts(pairs: Iterable[tuple[str, str | Text]]) -> None:
    """Prints names and values, a line each."""
    shown = Table.grid(padding=(0, 2))
    for name, value in pairs:
        shown.add_row(Text(name, style="bold"), Text(value) if isinstance(value, str) else value)
    whole(shown)


def following(*commands: str) -> None:
    """Prints what to run next."""
    console.print(Text("\nnext:", style="bold"))
    for command in commands:
        console.print(Text(f"  {command}", style="cyan"))


def when(time: Timestamp) -> str:
    """A time for people, in UTC; `-` for none."""
    return f"{time.ToDatetime():%Y-%m-%d %H:%M} UTC" if time.seconds else "-"


def name_of(enum: Any, value: int, prefix: str) -> str:
    """The name of an enum's value without its prefix, such as `ACTIVE`."""
    name: str = enum.Name(value)
    return name.removeprefix(prefix)


def program(name: str = "authy-grpc", *, elsewhere: bool = False) -> str:
    """How a program is called: by its name, where that is found, else by its path.

    Args:
        name: of the program.
        elsewhere: whether it is called from another terminal, in whatever folder.
    """
    beside = Path(sys.executable).parent / name
    if shutil.which(name) or not beside.exists():
        return name
    near = not elsewhere and beside.is_relative_to(Path.cwd())
    return str(beside.relative_to(Path.cwd()) if near else beside)


def whole(shown: Table) -> None:
    """Prints a table as wide as it is: an id that is cut off or folded cannot be copied."""
    # rich fits a table into its console: here one wide enough.
    wide = Console(highlight=False, width=_WIDEST)
    needed = Measurement.get(wide, wide.options, shown).maximum
    wide.width = max(needed, console.width)
    wide.print(shown)


def _plain(found: Any) -> Any:
    if isinstance(found, Message):
        return MessageToDict(found)
    if isinstance(found, dict):
        return {name: _plain(each) for name, each in found.items()}
    if isinstance(found, (list, tuple)):
        return [_plain(each) for each in found]
    return found
