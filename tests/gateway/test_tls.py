"""TLS of the gateway's own: what it shows, what it takes, what a handshake may cost. Over a real socket."""

import asyncio
import ssl
import warnings
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from authy_grpc.client.certificates import CertificateError
from gateway.certificate import read_shown
from gateway.protocol import Bounds
from gateway.server import HttpServer
from gateway.settings import GatewaySettings
from tests.gateway.test_protocol import ASK, Peer, _turn, peer
from tests.rushing import PATIENCE

OPEN = "gateway_connections"
REFUSED = "gateway_connections_refused_total"


class Pair:
    """A certificate for `authy.internal`, its files, and who trusts it."""

    def __init__(self, folder: Path) -> None:
        self.ca = trustme.CA()
        self.certificate, self.key = folder / "rest.crt", folder / "rest.key"
        self.issue()

    def issue(self) -> None:
        made = self.ca.issue_cert("authy.internal")
        self.certificate.write_bytes(b"".join(each.bytes() for each in made.cert_chain_pems))
        self.key.write_bytes(made.private_key_pem.bytes())

    @property
    def settings(self) -> GatewaySettings:
        return GatewaySettings(http_tls_cert=self.certificate, http_tls_key=self.key)

    def trusting(self) -> ssl.SSLContext:
        made = ssl.create_default_context()
        self.ca.configure_trust(made)
        return made


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


async def scheme(request: Request) -> Response:
    return Response(request.url.scheme + " ok")


APP = Starlette(routes=[Route("/", scheme)])


@asynccontextmanager
async def served(pair: Pair, **bounds: Any) -> AsyncIterator[tuple[HttpServer, int, CollectorRegistry]]:
    registry = CollectorRegistry()
    shown = read_shown(pair.settings)
    server = HttpServer(APP, "127.0.0.1:0", bounds=Bounds(**bounds), grace=60, shown=shown, registry=registry)
    port = await server.start()
    try:
        yield server, port, registry
    finally:
        await server.stop(now=True)


@asynccontextmanager
async def secure(port: int, context: ssl.SSLContext) -> AsyncIterator[Peer]:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname="authy.internal"
    )
    try:
        yield Peer(reader, writer)
    finally:
        writer.close()


async def answered(one: Peer) -> None:
    await one.send(ASK)
    assert b"https" in await one.reader.readuntil(b" ok")


async def until_open(registry: CollectorRegistry, count: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while registry.get_sample_value(OPEN) != count:
            await _turn()


def shown_by(one: Peer) -> bytes:
    found: bytes = one.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    return found


async def answers_browsers(pair: Pair) -> None:
    trusting = pair.trusting()
    trusting.set_alpn_protocols(["h2", "http/1.1"])
    async with served(pair) as (_, port, registry):
        async with secure(port, trusting) as one:
            for _ in range(3):
                await answered(one)
            assert one.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
            assert registry.get_sample_value(OPEN) == 1
        await until_open(registry, 0)


async def takes_a_request_beside_the_handshakes_end(pair: Pair) -> None:
    """As TLS 1.3 allows, and as one packet brings them."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = pair.trusting().wrap_bio(incoming, outgoing, server_hostname="authy.internal")
    async with served(pair) as (_, port, _), peer(port) as one, asyncio.timeout(PATIENCE):
        for _ in range(3):
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                await one.send(outgoing.read())
                incoming.write(await one.reader.read(65536))
        client.write(ASK)
        await one.send(outgoing.read())
        received = b""
        while b"https ok" not in received:
            incoming.write(await one.reader.read(65536))
            with suppress(ssl.SSLWantReadError):
                while True:
                    received += client.read(65536)


@pytest.mark.parametrize("works", [answers_browsers, takes_a_request_beside_the_handshakes_end])
@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_requests_are_answered_by_tls(works: Any, run: Any, pair: Pair) -> None:
    made: Coroutine[Any, Any, None] = works(pair)
    run(made)


async def test_what_is_no_tls_or_too_old_is_sent_away(pair: Pair) -> None:
    old = pair.trusting()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    least = pair.trusting()
    least.maximum_version = ssl.TLSVersion.TLSv1_2
    async with served(pair) as (_, port, registry):
        async with peer(port) as plain:
            await plain.send(ASK)
            assert await plain.broken_off()
        with pytest.raises((ssl.SSLError, ConnectionError)):
            async with secure(port, old):
                pass
        await until_open(registry, 0)
        # Control.
        async with secure(port, least) as one:
            await answered(one)


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_handshakes_that_never_end_are_counted_and_have_an_end(pair: Pair, run: Any) -> None:
    async def silent_ones() -> None:
        async with served(pair, connections=8, handshake_seconds=3) as (_, port, registry):
            async with AsyncExitStack() as open_:
                silent = [await open_.enter_async_context(peer(port)) for _ in range(2)]
                await silent[1].send(b"\x16\x03\x01\x02\x00\x01")
                await until_open(registry, 2)
                # One address has a quarter: these two have it, before they have said who they are.
                async with peer(port) as beyond:
                    assert await beyond.broken_off()
                assert registry.get_sample_value(REFUSED, {"limit": "peer"}) == 1
                for each in silent:
                    assert await each.broken_off()
            await until_open(registry, 0)
            async with secure(port, pair.trusting()) as one:
                await answered(one)

    run(silent_ones())


async def test_a_stop_waits_for_no_handshake(pair: Pair) -> None:
    async with served(pair, handshake_seconds=3600) as (server, port, registry), peer(port) as silent:
        await until_open(registry, 1)
        async with asyncio.timeout(PATIENCE):
            # Far less than the grace.
            await server.stop()
        assert await silent.broken_off()


async def test_whoever_says_nothing_after_the_handshake_is_sent_away(pair: Pair) -> None:
    async with (
        served(pair, head_seconds=0.2) as (_, port, registry),
        secure(port, pair.trusting()) as one,
    ):
        assert await one.broken_off()
        await until_open(registry, 0)


async def test_a_renewed_certificate_is_shown_and_ends_no_connection(pair: Pair) -> None:
    async with served(pair) as (server, port, _), secure(port, pair.trusting()) as kept:
        first = shown_by(kept)
        pair.key.write_bytes(trustme.CA().issue_cert("x").private_key_pem.bytes())
        server.renew()
        async with secure(port, pair.trusting()) as one:
            assert shown_by(one) == first
        pair.issue()
        server.renew()
        async with secure(port, pair.trusting()) as one:
            assert shown_by(one) != first
            await answered(one)
        await answered(kept)


def test_a_certificate_that_tls_does_not_take_is_refused_with_its_file(pair: Pair, tmp_path: Path) -> None:
    short = rsa.generate_private_key(65537, 1024)
    name, now = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")]), datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, short.public_key(), 1, now, now + timedelta(days=1))
        .sign(short, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    pair.certificate.write_bytes(made)
    pair.key.write_bytes(short.private_bytes(pem, pkcs8, serialization.NoEncryption()))
    with pytest.raises(
        CertificateError, match=r"AUTHY_HTTP_TLS_CERT is .*: TLS cannot use it: .*key too small"
    ):
        read_shown(pair.settings)
