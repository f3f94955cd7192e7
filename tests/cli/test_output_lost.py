"""Whoever reads a command's output may leave: a server goes on, and a command says so by its exit alone."""

import subprocess
import sys
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.cli.conftest import TIMEOUT, Shell

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "output", [">/dev/full 2>/dev/full", ">&- 2>&-", "> >(true) 2> >(true)"], ids=["full", "closed", "left"]
)
def test_a_server_goes_on_where_nobody_reads(shell: Shell, output: str) -> None:
    path = shell.home / "s"
    process = subprocess.Popen(
        ["bash", "-c", f'exec "$0" -m authy_grpc serve --dev --listen unix:{path} {output}', sys.executable],
        env=shell._whole_environment(),
        cwd=shell.home,
    )
    try:
        with grpc.insecure_channel(f"unix:{path}") as channel:
            check: Any = health_pb2_grpc.HealthStub(channel)
            request = health_pb2.HealthCheckRequest()
            for _ in range(3):
                answer = check.Check(request, wait_for_ready=True, timeout=TIMEOUT)
                assert answer.status == health_pb2.HealthCheckResponse.SERVING
        process.terminate()
        assert process.wait(TIMEOUT) == 0
    finally:
        process.kill()
        process.wait()
