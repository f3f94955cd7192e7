"""Health says NOT_SERVING while nothing can be written, and SERVING again by itself."""

from typing import Any

from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.e2e.breaking import gone
from tests.harness import Service

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def test_readiness_follows_the_database(service: Service) -> None:
    health: Any = health_pb2_grpc.HealthStub(service.channel())
    request = health_pb2.HealthCheckRequest()
    watch = health.Watch(request)
    assert (await watch.read()).status == SERVING
    with gone(service):
        await service.core.database.probe()
        assert (await health.Check(request)).status == NOT_SERVING
        assert (await watch.read()).status == NOT_SERVING
    # The worker that asks does so every second.
    assert (await watch.read()).status == SERVING
    assert (await health.Check(request)).status == SERVING
    watch.cancel()
    assert "database cannot be written" in service.log.getvalue()
    await service.site()
