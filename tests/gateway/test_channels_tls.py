"""A gateway's certificates are renewed under way: new connections show the new one, what is open goes on."""

import asyncio
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
import trustme
from grpc_health.v1 import health_pb2

from authy_grpc.client.certificates import names
from gateway.channels import Channels
from tests.threads import PATIENCE

WATCH = {
    "request_serializer": health_pb2.HealthCheckRequest.SerializeToString,
    "response_deserializer": health_pb2.HealthCheckResponse.FromString,
}


def issue(ca: trustme.CA, folder: Path, name: str) -> None:
    made = ca.issue_cert(name)
    (folder / "mine.crt").write_bytes(made.cert_chain_pems[0].bytes())
    (folder / "mine.key").write_bytes(made.private_key_pem.bytes())


class Core(grpc.GenericRpcHandler):
    """Tells who calls, and keeps streams open."""

    def __init__(self) -> None:
        self.callers: list[str] = []

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        if details.method.endswith("Watch"):
            return grpc.unary_stream_rpc_method_handler(self.watch)
        return grpc.unary_unary_rpc_method_handler(self.check)

    async def check(self, request: bytes, context: Any) -> bytes:
        self.callers.append(names(context.auth_context()["x509_pem_cert"][0]).first)
        return b""

    async def watch(self, request: bytes, context: Any) -> Any:
        while True:
            yield b""
            await asyncio.sleep(0.05)


@pytest.fixture
async def secure(tmp_path: Path) -> Any:
    """A core that takes no caller without a certificate, and its port."""
    ca = trustme.CA()
    shown = ca.issue_cert("127.0.0.1")
    (tmp_path / "ca").write_bytes(ca.cert_pem.bytes())
    pair = (shown.private_key_pem.bytes(), shown.cert_chain_pems[0].bytes())
    server, core = grpc.aio.server(), Core()
    server.add_generic_rpc_handlers([core])
    credentials = grpc.ssl_server_credentials([pair], ca.cert_pem.bytes(), True)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    yield ca, core, port
    await server.stop(None)


async def test_a_renewed_certificate_is_shown_and_ends_no_stream(
    secure: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ca, core, port = secure
    issue(ca, tmp_path, "first.internal")
    for name, file in (("CA", "ca"), ("CLIENT_CERT", "mine.crt"), ("CLIENT_KEY", "mine.key")):
        monkeypatch.setenv(f"AUTHY_{name}", str(tmp_path / file))
    channels = Channels(f"grpcs://127.0.0.1:{port}")
    try:
        check = channels.unary_unary("/x/Check", **WATCH)
        stream = channels.unary_stream("/x/Watch", **WATCH)(health_pb2.HealthCheckRequest())
        await stream.read()
        await check(health_pb2.HealthCheckRequest(), timeout=PATIENCE)

        issue(ca, tmp_path, "second.internal")
        channels.renew()
        await check(health_pb2.HealthCheckRequest(), timeout=PATIENCE)
        assert core.callers == ["first.internal", "second.internal"]
        # Control: nothing has changed, and the connection is the same.
        channels.renew()
        (tmp_path / "mine.key").write_text("junk")
        channels.renew()
        await check(health_pb2.HealthCheckRequest(), timeout=PATIENCE)
        assert core.callers[-1] == "second.internal"
        for _ in range(3):
            assert await stream.read() == health_pb2.HealthCheckResponse()
        stream.cancel()
    finally:
        await channels.close()
