"""Runs nginx and haproxy in front of servers, as their manuals have them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from tests.ports import free_port
from tests.programs import program

_NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log warn;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream servers {{ {servers} }}
  server {{ listen 127.0.0.1:{port} http2; {more} location / {{ grpc_pass grpc://servers; }} }}
}}
"""
_HAPROXY = """
defaults
  mode http
  timeout connect 3s
  timeout client 60s
  timeout server {quiet}
frontend front
  bind 127.0.0.1:{port} proto h2
  default_backend servers
backend servers
{servers}
"""


@asynccontextmanager
async def nginx(folder: Path, targets: Sequence[str], more: str = "") -> AsyncIterator[str]:
    """Yields where an nginx listens that passes on to the targets."""
    port = free_port()
    servers = " ".join(f"server {target};" for target in targets)
    text = _NGINX.format(folder=folder, servers=servers, port=port, more=more)
    (folder / "nginx.conf").write_text(text)
    async with running(port, program("nginx"), "-c", str(folder / "nginx.conf"), "-p", str(folder)):
        yield f"127.0.0.1:{port}"


@asynccontextmanager
async def haproxy(folder: Path, targets: Sequence[str], quiet: str = "60s") -> AsyncIterator[str]:
    """Yields where a haproxy listens that passes on to the targets, and cuts what is quiet."""
    port = free_port()
    servers = "\n".join(f"  server s{number} {target} proto h2" for number, target in enumerate(targets))
    (folder / "haproxy.cfg").write_text(_HAPROXY.format(port=port, servers=servers, quiet=quiet))
    async with running(port, program("haproxy"), "-f", str(folder / "haproxy.cfg")):
        yield f"127.0.0.1:{port}"


@asynccontextmanager
async def running(port: int, *command: str) -> AsyncIterator[None]:
    """Runs a proxy while it listens."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        await _listening(process, port)
        yield
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _listening(process: asyncio.subprocess.Process, port: int) -> None:
    async with asyncio.timeout(60):
        while True:
            assert process.returncode is None, "the proxy did not start"
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            return
