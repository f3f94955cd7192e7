"""Tells the demo: in a terminal for people, or kept for one JSON document."""

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from PIL import Image
from rich import box
from rich.columns import Columns
from rich.console import Console
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from authy_grpc.cli import show

_INDENT = "  "
_LIGHT_BORDER = 2


class Unexpected(Exception):
    """A step is not as it should be.

    Args:
        expectation: what should be.
        found: what is instead.
    """

    def __init__(self, expectation: str, found: str = "") -> None:
        super().__init__(f"expected: {expectation}" + (f"; found: {found}" if found else ""))


@dataclass
class Step:
    """One step, as it is told at the end.

    Attributes:
        title: what it shows.
        seconds: how long it took.
        checks: what was as it should be.
        facts: what was found, for the JSON document.
    """

    title: str
    seconds: float = 0.0
    ok: bool = False
    checks: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)


class Report:
    """Tells the demo, step by step.

    Args:
        console: where to; a quiet one for machines.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self.steps: list[Step] = []
        self.failure = ""

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Tells one step, and takes its time."""
        step = Step(title)
        self.steps.append(step)
        self._console.print()
        heading = Text.assemble((f" {len(self.steps)} ", "bold reverse cyan"), " ", (title, "bold"))
        self._console.print(Rule(heading, align="left", style="cyan"))
        started = time.perf_counter()
        try:
            yield
            step.ok = True
        finally:
            step.seconds = time.perf_counter() - started

    def check(self, expectation: str, holds: bool, found: object = "") -> None:
        """Tells what is as it should be.

        Raises:
            Unexpected: it is not.
        """
        if not holds:
            self.failure = expectation
            raise Unexpected(expectation, str(found))
        self.steps[-1].checks.append(expectation)
        line = Table.grid(padding=(0, 1))
        line.add_row(_INDENT[1:], Text("✓", style="green"), Text(expectation))
        self._console.print(line)

    def say(self, *parts: str | tuple[str, str]) -> None:
        """Tells a line; parts are texts, or texts and their styles."""
        self._console.print(Padding(Text.assemble(*parts), (0, 0, 0, len(_INDENT))))

    def fact(self, name: str, value: Any) -> None:
        """Keeps something for the JSON document."""
        self.steps[-1].facts[name] = value

    def qr(self, png: bytes) -> None:
        """Draws a QR code, dark on light, that a real camera can read."""
        modules = _modules(png)
        for above, below in zip(modules[::2], [*modules[1::2], [False] * len(modules[0])], strict=False):
            line = "".join(" ▄▀█"[2 * up + down] for up, down in zip(above, below, strict=True))
            self._console.print(Text.assemble(_INDENT * 2, (line, "black on white")))

    def screens(self, *screens: tuple[str, list[str]]) -> None:
        """Shows what screens show, side by side: titles, and lines of which the first stands out."""
        panels = []
        for title, lines in screens:
            body = Text("\n").join([Text(lines[0], style="bold"), *map(Text, lines[1:])])
            panels.append(
                Panel(body, title=Text(title, style="yellow"), border_style="yellow", padding=(0, 1))
            )
        self._console.print(Padding(Columns(panels), (1, 2)))

    @contextmanager
    def quietly(self) -> Iterator[None]:
        """Tells nothing meanwhile, and checks all the same."""
        loud, self._console = self._console, Console(quiet=True)
        try:
            yield
        finally:
            self._console = loud

    def table(self, columns: list[str], rows: list[list[str]]) -> None:
        """Shows rows in columns."""
        shown = Table(*columns, box=box.SIMPLE_HEAD, header_style="bold", pad_edge=True)
        for row in rows:
            shown.add_row(*map(Text, row))
        if not self._console.quiet:
            show.whole(shown)

    def close(self) -> None:
        """Tells all steps and their times in a table."""
        shown = Table(box=box.ROUNDED, border_style="cyan", title="The whole story", title_style="bold")
        shown.add_column("", justify="right", style="cyan")
        shown.add_column("step")
        shown.add_column("checks", justify="right")
        shown.add_column("time", justify="right")
        shown.add_column("")
        for number, step in enumerate(self.steps, 1):
            mark = Text("✓", style="green") if step.ok else Text("✗", style="bold red")
            shown.add_row(str(number), step.title, str(len(step.checks)), f"{step.seconds:.2f} s", mark)
        checks = sum(len(step.checks) for step in self.steps)
        shown.add_section()
        shown.add_row("", "in all", str(checks), f"{sum(step.seconds for step in self.steps):.2f} s", "")
        self._console.print()
        self._console.print(shown)

    def commands(self, title: str, lines: list[str]) -> None:
        """Tells commands to type; they are not wrapped, so that they can be pasted."""
        self._console.print(Text(f"\n{title}", style="bold"))
        for line in lines:
            self._console.print(Text(f"{_INDENT}{line}", style="cyan"), soft_wrap=True)

    def as_json(self) -> dict[str, Any]:
        """All of it, for a machine."""
        return {
            "ok": not self.failure and all(step.ok for step in self.steps),
            "failure": self.failure,
            "steps": [
                {
                    "number": number,
                    "title": step.title,
                    "ok": step.ok,
                    "milliseconds": round(step.seconds * 1000, 1),
                    "checks": step.checks,
                    "facts": step.facts,
                }
                for number, step in enumerate(self.steps, 1)
            ],
        }


def _modules(png: bytes) -> list[list[bool]]:
    """The modules of a drawn QR code, True where dark, in a border of two."""
    with Image.open(io.BytesIO(png)) as opened:
        image = opened.convert("1").point(lambda pixel: 255 - pixel)
    box_ = image.getbbox()
    if box_ is None:
        raise Unexpected("the PNG shows a QR code")
    left, top, right, _ = box_
    # A finder pattern begins with a row of seven dark modules.
    row = [bool(image.getpixel((x, top))) for x in range(left, right)]
    size = row.index(False) // 7
    span = range(-_LIGHT_BORDER, (right - left) // size + _LIGHT_BORDER)

    def dark(x: int, y: int) -> bool:
        inside = 0 <= x * size < right - left and 0 <= y * size < right - left
        return inside and bool(image.getpixel((left + x * size, top + y * size)))

    return [[dark(x, y) for x in span] for y in span]
