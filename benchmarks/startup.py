"""Measures how long programs take to start, beside a program that imports gRPC and ends."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

_BESIDE = [sys.executable, "-c", "import grpc"]
_IMPORTS = {
    "import authy_grpc.client": [sys.executable, "-c", "import authy_grpc.client"],
    "import authy_grpc.phone": [sys.executable, "-c", "import authy_grpc.phone"],
    "authy-grpc --help": [sys.executable, "-m", "authy_grpc", "--help"],
    "authy-grpc phone --help": [sys.executable, "-m", "authy_grpc", "phone", "--help"],
    "import authy_grpc.bootstrap": [sys.executable, "-c", "import authy_grpc.bootstrap"],
}


@dataclass(frozen=True)
class Started:
    """How many seconds a program took, the best of several, and how many `import grpc` took beside it."""

    name: str
    seconds: float
    beside: float

    def as_json(self) -> dict[str, object]:
        """For machines."""
        return {"name": self.name, "seconds": self.seconds, "of_import_grpc": self.seconds / self.beside}


def starts(times: int) -> list[Started]:
    """Measure imports, and `serve` up to its first answer, on a new database and on one that is there."""
    found = [_beside(name, partial(_run, command), times) for name, command in _IMPORTS.items()]

    with tempfile.TemporaryDirectory(prefix="authy-bench-") as kept:
        folders = iter(range(1000))
        found.append(_beside("serve, new database", lambda: _serve(Path(kept) / str(next(folders))), times))
        found.append(_beside("serve, database is there", lambda: _serve(Path(kept) / "0"), times))
    return found


def _beside(name: str, program: Callable[[], float], times: int) -> Started:
    took = [(program(), _run(_BESIDE)) for _ in range(times)]
    return Started(name, min(own for own, _ in took), min(beside for _, beside in took))


def _run(command: list[str]) -> float:
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


def _serve(home: Path) -> float:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    environment = os.environ | {"AUTHY_HOME": str(home), "AUTHY_LISTEN": address, "AUTHY_DEV": "1"}
    begin = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "authy_grpc", "serve"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    options = (("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 100))
    try:
        with grpc.insecure_channel(address, (*options, ("grpc.min_reconnect_backoff_ms", 100))) as channel:
            health: Any = health_pb2_grpc.HealthStub(channel)
            health.Check(health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=60)
            return time.perf_counter() - begin
    finally:
        process.terminate()
        process.wait()
