"""A deliverer that cannot do its work says so, and goes on."""

import asyncio
import io
import json
from collections.abc import Mapping
from typing import Any

from authy_grpc import logs
from authy_grpc.outbound.web import Addresses, Answer, Web
from authy_grpc.v1.webhook_pb2 import CreateWebhookRequest, ListDeliveriesRequest
from gateway.webhooks import Deliverer
from tests.gateway.test_webhooks import happen
from tests.harness import Service
from tests.rushing import PATIENCE

URL = "https://example.com/hook"


class Broken(Web):
    """A client with a fault."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, **options: Any) -> Answer:
        raise ZeroDivisionError


class Faulty:
    """A channel whose first stream meets a fault."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self._faults = 1
        self.unary_unary = channel.unary_unary

    def unary_stream(self, path: str, **options: Any) -> Any:
        begin: Any = self._channel.unary_stream(path, **options)

        def call(request: Any, **options: Any) -> Any:
            self._faults -= 1
            if self._faults >= 0:
                raise ZeroDivisionError
            return begin(request, **options)

        return call


class Log(io.StringIO):
    """A log that says when a line has come."""

    def __init__(self) -> None:
        super().__init__()
        self.told = asyncio.Event()

    def write(self, text: str) -> int:
        self.told.set()
        return super().write(text)

    async def lines(self) -> list[dict[str, Any]]:
        """Its lines, once there is one."""
        async with asyncio.timeout(PATIENCE):
            await self.told.wait()
        return [json.loads(line) for line in self.getvalue().splitlines()]


def deliverer(
    service: Service, log: Log, *, web: type[Web] = Web, channel: Any = None, key: str = ""
) -> Deliverer:
    made = web(Addresses(dev=True), service.clock)
    told = logs.build(log, service.clock)
    return Deliverer(channel or service.channel(), key or service.secrets.gateway_key, made, told)


async def test_a_key_that_is_refused_is_told(service: Service) -> None:
    log = Log()
    made = deliverer(service, log, key="gw_of_yesterday")
    made.start()
    line = (await log.lines())[0]
    assert (line["level"], line["code"]) == ("warning", "UNAUTHENTICATED")
    assert "gw_of_yesterday" not in log.getvalue()
    await made.stop()


async def test_a_post_that_meets_a_fault_is_told_and_counts(service: Service) -> None:
    log, site = Log(), await service.site()
    webhook = (await site.client.webhooks.CreateWebhook(CreateWebhookRequest(url=URL))).webhook
    made = deliverer(service, log, web=Broken)
    made.start()
    await happen(site, 1)
    line = (await log.lines())[0]
    assert line["level"] == "error" and "ZeroDivisionError" in log.getvalue() and URL not in log.getvalue()
    request = ListDeliveriesRequest(webhook_id=webhook.webhook_id)
    async with asyncio.timeout(PATIENCE):
        while not (posts := (await site.client.webhooks.ListDeliveries(request)).deliveries)[0].error:
            pass
    assert (posts[0].error, posts[0].attempts) == ("connection", 1)
    await made.stop()


async def test_a_fault_ends_no_deliverer(service: Service) -> None:
    log, site = Log(), await service.site()
    await site.client.webhooks.CreateWebhook(CreateWebhookRequest(url=URL))
    made = deliverer(service, log, web=Broken, channel=Faulty(service.channel()))
    made.start()
    assert (await log.lines())[0]["level"] == "error"
    log.told.clear()
    # It takes posts after that.
    await happen(site, 1)
    assert "post failed" in str((await log.lines())[-1])
    await made.stop()
