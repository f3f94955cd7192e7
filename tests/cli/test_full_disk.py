"""A disk that is full, of SQLite and of the log: calls are refused with a reason, and go on by themselves."""

import resource
import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from authy_grpc.client import Client
from authy_grpc.v1.application_pb2 import GetCurrentApplicationRequest
from authy_grpc.v1.enrollment_pb2 import CreateEnrollmentRequest
from authy_grpc.v1.enrollment_pb2_grpc import EnrollmentServiceStub
from tests.cli.conftest import TIMEOUT, Running
from tests.cli.test_tls import until
from tests.cli.test_up import made_key

pytestmark = pytest.mark.slow


def test_a_full_disk_refuses_with_a_reason_and_ends_nobody(serve: Callable[[], Running]) -> None:
    running = serve()
    shell, log = running.shell, running.shell.home / "log"
    key = made_key(shell)
    address = shell.exported["AUTHY_SERVER"]
    limit, (soft, hard) = resource.RLIMIT_FSIZE, resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE)
    with Client(address, key) as site, grpc.insecure_channel(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)

        def ready() -> bool:
            status: int = stub.Check(health_pb2.HealthCheckRequest(), timeout=10).status
            return status == health_pb2.HealthCheckResponse.SERVING

        def create(name: str) -> None:
            site.enrollments.CreateEnrollment(CreateEnrollmentRequest(custom_user_id=name))

        create("ada")
        until(ready, "it was not ready")
        # No file grows any more: not the database, not its log, not the lines on stderr.
        resource.prlimit(running.process.pid, limit, (0, hard))
        size = log.stat().st_size
        bare: Any = EnrollmentServiceStub(channel)
        for name in ("bob", "eve"):
            with pytest.raises(grpc.RpcError) as refused:
                bare.CreateEnrollment(
                    CreateEnrollmentRequest(custom_user_id=name),
                    metadata=(("authorization", f"Bearer {key}"),),
                    timeout=TIMEOUT,
                )
            call: Any = refused.value
            assert call.code() is grpc.StatusCode.UNAVAILABLE and "nothing was decided" in call.details()
        until(lambda: not ready(), "it says that it is ready")
        for _ in range(20):
            # It tries by a true write, again and again.
            time.sleep(0.15)
            assert not ready()
        assert log.stat().st_size == size
        # What only reads goes on.
        site.applications.GetCurrentApplication(GetCurrentApplicationRequest())

        resource.prlimit(running.process.pid, limit, (soft, hard))
        until(ready, "it does not come back")
        create("bob")
        until(lambda: log.stat().st_size > size, "its log does not go on")
    assert "INTERNAL" not in log.read_text()
    assert running.stop() == 0
