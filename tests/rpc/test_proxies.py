"""The configurations of nginx and Envoy in docs/operations.md, run: two servers, one name, and who calls."""

import asyncio
import os
import re
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from authy_grpc.cli.demo.listening import listening
from authy_grpc.client.connect import TlsFiles, road
from authy_grpc.domain.forwarded import Forwarding
from authy_grpc.v1.account_pb2 import StartPhoneVerificationRequest
from authy_grpc.v1.account_pb2_grpc import AccountServiceStub
from gateway.app import build
from tests.gateway.asking import serving, settings
from tests.ports import free_port
from tests.programs import program
from tests.rpc.test_auth import SERVICES

DOCS = Path(__file__).resolve().parents[2] / "docs" / "operations.md"
# The proxy's address, and that of who calls through it.
PROXY, CALLER = "127.0.0.1", "127.0.0.9"
PATIENCE = 60
NUMBER = "+15005550006"


def block(language: str) -> str:
    """A configuration as the manual has it."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", DOCS.read_text(), re.DOTALL | re.MULTILINE)
    assert len(found) == 1
    return str(found[0])


def nginx(folder: Path, port: int, ports: list[tuple[int, int]]) -> list[str]:
    text = block("nginx").replace("listen 443", f"listen {PROXY}:{port}").replace("/etc/ssl", str(folder))
    for host, (rpc, rest) in zip(("10.0.0.11", "10.0.0.12"), ports, strict=True):
        text = text.replace(f"{host}:50051", f"{PROXY}:{rpc}").replace(f"{host}:8080", f"{PROXY}:{rest}")
    paths = "".join(
        f"{name}_temp_path {folder}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log; {user}\nevents {{}}\n"
        f"http {{ access_log off;\n{paths}{text}}}\n"
    )
    return [
        program("nginx"),
        "-p",
        str(folder),
        "-c",
        str(folder / "nginx.conf"),
        "-e",
        str(folder / "error.log"),
    ]


def envoy(folder: Path, port: int, ports: list[tuple[int, int]]) -> list[str]:
    text = block("yaml").replace("address: 0.0.0.0, port_value: 443", f"address: {PROXY}, port_value: {port}")
    text = text.replace("/etc/ssl", str(folder))
    for host, (rpc, rest) in zip(("10.0.0.11", "10.0.0.12"), ports, strict=True):
        text = text.replace(f"address: {host}, port_value: 50051", f"address: {PROXY}, port_value: {rpc}")
        text = text.replace(f"address: {host}, port_value: 8080", f"address: {PROXY}, port_value: {rest}")
    (folder / "envoy.yaml").write_text(text)
    return [
        program("envoy"),
        "-c",
        str(folder / "envoy.yaml"),
        "--use-dynamic-base-id",
        "--concurrency",
        "1",
        "-l",
        "error",
    ]


@asynccontextmanager
async def running(command: list[str], port: int, folder: Path) -> AsyncIterator[None]:
    with (folder / "out").open("w") as out:
        process = await asyncio.create_subprocess_exec(*command, stdout=out, stderr=out)
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                assert process.returncode is None, (folder / "out").read_text()
                with suppress(OSError):
                    _, writer = await asyncio.open_connection(PROXY, port)
                    await closed(writer)
                    break
                await asyncio.sleep(0.05)
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), PATIENCE)


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    await closed(sink)


@asynccontextmanager
async def another_host(port: int) -> AsyncIterator[int]:
    """A port by which one comes to another from `CALLER`."""
    relays: set[asyncio.Task[Any]] = set()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        relays.add(task)
        there, back = await asyncio.open_connection(PROXY, port, local_addr=(CALLER, 0))
        await asyncio.gather(copy(reader, back), copy(there, writer))

    async with listening(relay) as at:
        yield at
        # Whoever called has gone, or the proxy will.
        await asyncio.wait_for(asyncio.gather(*relays), PATIENCE)


@pytest.mark.slow
@pytest.mark.parametrize("configure", [nginx, envoy])
async def test_two_servers_behind_one_name_learn_who_calls(
    transport: Any, tmp_path: Path, configure: Callable[[Path, int, list[tuple[int, int]]], list[str]]
) -> None:
    ca = trustme.CA()
    shown = ca.issue_cert("authy.example", "127.0.0.1")
    (tmp_path / "authy.crt").write_bytes(shown.cert_chain_pems[0].bytes())
    (tmp_path / "authy.key").write_bytes(shown.private_key_pem.bytes())
    (tmp_path / "ca").write_bytes(ca.cert_pem.bytes())
    async with AsyncExitStack() as stack:
        cores, ports = [], []
        for _ in range(2):
            core = await stack.enter_async_context(transport(*SERVICES, address=Forwarding.read(PROXY)))
            app = build(core.channel, settings(gateway_key="gw_1", trusted_proxies=PROXY))
            ports.append((core.port, await stack.enter_async_context(serving(app))))
            cores.append(core)
        port = free_port(PROXY)
        await stack.enter_async_context(running(configure(tmp_path, port, ports), port, tmp_path))
        port = await stack.enter_async_context(another_host(port))

        channel = road(f"grpcs://127.0.0.1:{port}", files=TlsFiles.of({"AUTHY_CA": str(tmp_path / "ca")}))
        async with channel.aio_channel() as calls:
            stub: Any = AccountServiceStub(calls)
            for _ in range(8):
                told = await stub.StartPhoneVerification(
                    StartPhoneVerificationRequest(phone_number=NUMBER),
                    metadata=(("x-forwarded-for", "198.51.100.1"),),
                    timeout=PATIENCE,
                    wait_for_ready=True,
                )
                assert told.verification_id == CALLER
        # Both have served.
        assert all("StartPhoneVerification" in core.output.getvalue() for core in cores)

        async with httpx.AsyncClient(verify=_trusted(tmp_path / "ca"), timeout=PATIENCE) as client:
            answer = await client.post(
                f"https://127.0.0.1:{port}/v1/account/phoneVerifications",
                json={"phoneNumber": NUMBER},
                headers={"x-forwarded-for": "198.51.100.1"},
            )
        assert answer.json()["verificationId"] == CALLER


def _trusted(ca: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(ca))
