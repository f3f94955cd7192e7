"""How the sites of a scenario speak: gRPC, and REST."""

from collections.abc import AsyncIterator

import pytest

from tests.e2e.wire import Party, Speaks
from tests.gateway.speaking import over_rest
from tests.harness import Service


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Have sites speak one way on each database, and both on both in `make proof`."""
    if not config.getoption("--proof"):
        left = [each for each in items if each.name.endswith(("[sqlite-gRPC]", "[postgres-REST]"))]
        config.hook.pytest_deselected(items=left)
        items[:] = [each for each in items if each not in set(left)]


@pytest.fixture(params=["gRPC", "REST"])
async def speaks(request: pytest.FixtureRequest, service: Service) -> AsyncIterator[Speaks]:
    """Makes a site's party by its key, of either kind."""
    if request.param == "gRPC":
        yield lambda credential: Party(service.channel(), credential)
    else:
        async with over_rest(service) as made:
            yield made
