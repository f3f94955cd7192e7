"""Runs commands on the store itself, beside servers that may run, and writes them to the audit trail."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from authy_grpc.audit import Audit
    from authy_grpc.bootstrap import Core
    from authy_grpc.store.vault import Vault

T = TypeVar("T")


def on_the_store(use: "Callable[[Core, Vault], Awaitable[T]]") -> T:
    """Runs something on the store, beside a server that may be running or not."""
    import asyncio

    from authy_grpc.cli import installation
    from authy_grpc.cli.failure import extra

    with extra("server"):
        from authy_grpc import home
        from authy_grpc.bootstrap import World, build
        from authy_grpc.store import schema
        from authy_grpc.store.vault import Vault
    settings = installation.read_settings()
    installation.require_database(settings)
    secrets = home.read_secrets(settings)
    schema.check(settings.database)

    async def within() -> T:
        core = await build(settings, secrets, World())
        try:
            return await use(core, Vault(secrets.keyset))
        finally:
            await core.stop()

    return asyncio.run(within())


def require_trail() -> None:
    """Ask whether the audit trail can be written, before something is done that has to stand in it.

    Raises:
        OSError: the file of AUTHY_AUDIT_LOG cannot be written to.
    """
    _trail()


def write_act(act: str, **of: Any) -> None:
    """Write to the audit trail what the system's user has done by a command, such as `EraseAccount`.

    Args:
        act: what was done.
        **of: ids of what it was about, by their name in the contract.

    Raises:
        OSError: the file of AUTHY_AUDIT_LOG cannot be written to.
    """
    from authy_grpc import audit

    _trail().act(act, audit.system_user(), **of)


def _trail() -> "Audit":
    from authy_grpc import audit
    from authy_grpc.bootstrap import real_clock
    from authy_grpc.cli import installation

    return audit.of_command(installation.read_settings(), real_clock)
