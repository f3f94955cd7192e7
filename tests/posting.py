"""The client that posts to strangers, as tests open it: look-ups by a zone, loopback let in."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import trustme

from authy_grpc.outbound.web import Addresses, Answer, Web
from tests.clock import TurnedClock
from tests.naming import Zone, name_server
from tests.strangers import Behaviour, Stranger, stranger

HEADERS = {"webhook-id": "evt_1", "content-type": "application/json"}


@asynccontextmanager
async def opened(
    *, dev: bool = True, zone: Zone | None = None, tls: ssl.SSLContext | None = None, seconds: float = 15
) -> AsyncIterator[tuple[Web, Addresses]]:
    async with name_server(zone or {}) as (resolve, _):
        addresses = Addresses(dev=dev, resolve=resolve)
        web = Web(addresses, TurnedClock(), tls=tls, limit=timedelta(seconds=seconds))
        try:
            yield web, addresses
        finally:
            await web.aclose()


async def ask(behaviour: Behaviour, *, seconds: float = 15) -> tuple[Answer, Stranger]:
    """What a post to such a listener comes to."""
    async with stranger(behaviour) as there, opened(seconds=seconds) as (web, _):
        return await web.post(f"http://127.0.0.1:{there.port}/hook?a=b", HEADERS, b"{}"), there


def certified(name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """What a client believes, and what a server of that name shows."""
    authority = trustme.CA()
    client, server = ssl.create_default_context(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.configure_trust(client)
    authority.issue_cert(name).configure_cert(server)
    return client, server
