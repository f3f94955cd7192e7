"""A service that cannot be made, or cannot start, leaves nothing open: no thread and no connection."""

import asyncio
import os
import threading
from pathlib import Path

import pytest

from authy_grpc.bootstrap import World, build
from authy_grpc.client.certificates import CertificateError
from authy_grpc.domain.ids import new_secret
from authy_grpc.home import Secrets
from authy_grpc.settings import Settings
from authy_grpc.store.vault import KeysetError, new_keyset

WORLD = World(log_stream=None)


def secrets(keyset: str) -> Secrets:
    return Secrets(
        keyset=keyset, operator_key=new_secret("op", os.urandom), gateway_key=new_secret("gw", os.urandom)
    )


def at(url: str, **fields: object) -> Settings:
    return Settings(database_url=url, listen="127.0.0.1:0", **fields)  # type: ignore[arg-type]


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("authy-")]


async def test_another_keyset(database_url: str, keyset_text: str) -> None:
    core = await build(at(database_url), secrets(keyset_text), WORLD)
    assert threads(), "the control"
    await core.stop(now=True)
    assert threads() == []
    with pytest.raises(KeysetError):
        await build(at(database_url), secrets(new_keyset()), WORLD)
    assert threads() == []


async def test_a_certificate_that_cannot_be_used(sqlite_url: str, keyset_text: str, tmp_path: Path) -> None:
    """Found when all else is made."""
    for name in ("cert", "key"):
        (tmp_path / name).write_text("no PEM")
    settings = at(sqlite_url, tls_cert=tmp_path / "cert", tls_key=tmp_path / "key")
    with pytest.raises(CertificateError):
        await build(settings, secrets(keyset_text), WORLD)
    assert threads() == []


async def test_a_start_that_is_broken_off(database_url: str, keyset_text: str) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await build(at(database_url), secrets(keyset_text), WORLD)
    assert threads() == []
