"""Prints the tables."""

import os
import platform
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.beside import Beside
from benchmarks.floor import Floor
from benchmarks.load import Measured
from benchmarks.posts import Posted
from benchmarks.rest import Asked
from benchmarks.startup import Started
from benchmarks.streams import Arrived
from benchmarks.weight import Weight


def machine() -> dict[str, Any]:
    """What it was measured on."""
    with open("/proc/cpuinfo") as file:
        model = next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), "")
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0],
    }


class Report:
    """Prints tables as their figures come, unless they are wanted as JSON alone.

    Attributes:
        document: all figures, for machines.
    """

    def __init__(self, *, silent: bool) -> None:
        console = Console(quiet=silent, highlight=False)
        # Tables in a file or a pipe are as wide as they are.
        self._console = console if console.is_terminal else Console(quiet=silent, highlight=False, width=120)
        self.document: dict[str, Any] = {"machine": machine()}
        about = self.document["machine"]
        self.say(
            f"{about['cpu']}, {about['cores']} cores, Python {about['python']},"
            f" load {about['load_before']:.1f}"
        )

    def say(self, line: str) -> None:
        """Print a line."""
        self._console.print(line)

    def calls(self, database: str, measured: list[Measured]) -> None:
        """Rates and latencies of methods."""
        rows = [each.as_json() for each in measured]
        self.document.setdefault("calls", {})[database] = rows
        columns = ("at once", "calls/s", "of empty", "of bare", "p50 ms", "p99 ms")
        table = self._table(f"Calls, {database}", *columns, "CPU us", "of empty", "server", "generator")
        for row in rows:
            table.add_row(
                str(row["name"]),
                str(row["at_once"]),
                f"{row['rate']:,.0f}",
                f"{row['of_empty']:.2f}",
                f"{row['of_bare']:.2f}",
                f"{row['p50_ms']:.2f}",
                f"{row['p99_ms']:.2f}",
                f"{row['server_cpu_us']:,.0f}",
                f"{row['server_cpu_of_empty']:.1f}",
                f"{row['server_busy']:.0%}",
                f"{row['generator_busy']:.0%}",
            )
        self._console.print(table)
        for each in measured[-1:]:
            self.say(
                f"Beside {each.name} at {each.at_once}: empty {each.empty.rate:,.0f}/s,"
                f" {each.empty.cpu:,.0f} us; bare {each.bare.rate:,.0f}/s, {each.bare.cpu:,.0f} us\n"
            )

    def arrivals(self, database: str, arrived: list[Arrived]) -> None:
        """How long changes take."""
        rows = [each.as_json() for each in arrived]
        self.document.setdefault("arrivals", {})[database] = rows
        columns = ("watchers", "p50 ms", "of bare", "p99 ms", "of bare")
        table = self._table(f"From commit to arrival, {database}", *columns)
        for row in rows:
            table.add_row(
                str(row["name"]),
                str(row["watchers"]),
                f"{row['p50_ms']:.2f}",
                f"{row['p50_of_bare']:.1f}",
                f"{row['p99_ms']:.2f}",
                f"{row['p99_of_bare']:.1f}",
            )
        self._console.print(table)

    def floors(self, database: str, floors: list[Floor]) -> None:
        """What nothing can be faster than."""
        rows = [each.as_json() for each in floors]
        self.document.setdefault("floors", {})[database] = rows
        table = self._table(f"Floor, {database}", "us", "of a bare call")
        for row in rows:
            table.add_row(str(row["name"]), f"{row['micros']:,.1f}", f"{row['of_bare']:.2f}")
        self._console.print(table)

    def rest(self, database: str, asked: list[Asked]) -> None:
        """VerifyCode through a gateway, and beside it."""
        rows = [each.as_json() for each in asked]
        self.document.setdefault("rest", {})[database] = rows
        columns = ("at once", "calls/s", "of gRPC", "of empty", "p50 ms", "p99 ms")
        table = self._table(f"VerifyCode, {database}", *columns, "CPU us", "of gRPC", "server", "generator")
        for row in rows:
            table.add_row(
                str(row["name"]),
                str(row["at_once"]),
                f"{row['rate']:,.0f}",
                f"{row['of_grpc']:.2f}",
                f"{row['of_nothing']:.2f}",
                f"{row['p50_ms']:.2f}",
                f"{row['p99_ms']:.2f}",
                f"{row['server_cpu_us']:,.0f}",
                f"{row['server_cpu_of_grpc']:.1f}",
                f"{row['server_busy']:.0%}",
                f"{row['generator_busy']:.0%}",
            )
        self._console.print(table)

    def beside(self, database: str, measured: list[Beside]) -> None:
        """What users compare with."""
        rows = [each.as_json() for each in measured]
        self.document.setdefault("beside", {})[database] = rows
        table = self._table(
            f"A right code, {database}", "at once", "codes/s", "ours over gRPC: times", "p50 ms", "p99 ms"
        )
        for row in rows:
            table.add_row(
                str(row["name"]),
                str(row["at_once"]),
                f"{row['rate']:,.0f}",
                f"{row['ours']:.2f}",
                f"{row['p50_ms']:.2f}",
                f"{row['p99_ms']:.2f}",
            )
        self._console.print(table)

    def posts(self, database: str, posted: list[Posted]) -> None:
        """How many webhooks are posted, and how long they take."""
        rows = [each.as_json() for each in posted]
        self.document.setdefault("posts", {})[database] = rows
        columns = ("posts", "posts/s", "CPU us", "server", "receiver", "steady posts/s", "p50 ms", "p99 ms")
        table = self._table(f"Webhooks, from commit to receipt, {database}", *columns)
        for row in rows:
            dead = f" and {row['dead']} dead" if row["dead"] else ""
            table.add_row(
                f"{row['webhooks']} webhook{'s' if row['webhooks'] != 1 else ''}{dead}",
                f"{row['posts']:,}",
                f"{row['rate']:,.0f}",
                f"{row['server_cpu_us']:,.0f}",
                f"{row['server_busy']:.0%}",
                f"{row['generator_busy']:.0%}",
                f"{row['steady_rate']:,.0f}",
                f"{row['p50_ms']:.1f}",
                f"{row['p99_ms']:.1f}",
            )
        self._console.print(table)

    def weights(self, weights: list[Weight]) -> None:
        """What held streams weigh."""
        rows = [each.as_json() for each in weights]
        self.document["weights"] = rows
        table = self._table("Memory", "streams", "KiB each", "bare KiB", "of bare")
        for each, row in zip(weights, rows, strict=True):
            table.add_row(
                each.name,
                str(each.streams),
                f"{each.held / 1024:.1f}",
                f"{each.bare / 1024:.1f}",
                f"{row['of_bare']:.1f}",
            )
        self._console.print(table)

    def starts(self, started: list[Started]) -> None:
        """How long programs take to start."""
        rows = [each.as_json() for each in started]
        self.document["starts"] = rows
        table = self._table("Start", "seconds", "of `import grpc`")
        for row in rows:
            table.add_row(str(row["name"]), f"{row['seconds']:.2f}", f"{row['of_import_grpc']:.1f}")
        self._console.print(table)

    def _table(self, title: str, *columns: str) -> Table:
        table = Table(title=title, title_justify="left")
        table.add_column("", no_wrap=True)
        for each in columns:
            table.add_column(each, justify="right")
        return table
