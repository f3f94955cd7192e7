"""Writes the audit trail: who did what that an operator answers for, one JSON line an act.

Acts are those of an operator, and what changes who may call: keys, applications, erasures, the keyset, the
settings of a start. Lines carry ids and names of keys, never a number, a secret or what a person typed.
"""

import os
import pwd
import sys
import syslog
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from structlog.typing import FilteringBoundLogger

from authy_grpc import logs
from authy_grpc.settings import Settings

LOGGER = "authy_grpc.audit"
_MODE = 0o600
# Where syslog(3) sends to, on Linux and on macOS. Where there is neither it drops lines without a word.
SYSTEM_LOGS = (Path("/dev/log"), Path("/var/run/syslog"))


class Audit:
    """Writes acts.

    Args:
        log: where lines go.
    """

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log

    def act(self, act: str, actor: str, outcome: str = "OK", **of: Any) -> None:
        """Write one act.

        Args:
            act: such as `CreateApiKey`.
            actor: `operator:NAME` by an operator key, `device:ID`, `system:USER` by a command.
            outcome: OK, or the reason of the refusal.
            **of: ids of what it was about, by their name in the contract.
        """
        self._log.info(act, logger=LOGGER, actor=actor, outcome=outcome, **of)


def build(
    path: Path | None,
    stream: "TextIO | _System | _File | None",
    clock: Callable[[], datetime],
    registry: CollectorRegistry | None = None,
) -> Audit:
    """The audit trail of a process.

    Args:
        path: a file that lines are added to; None for the stream.
        stream: where all other lines go.
        clock: the time now, aware.
        registry: where the count of dropped lines is registered.

    Raises:
        OSError: the file cannot be written to.
    """
    if path is not None:
        stream = _File(path)
        stream.write("")
    return Audit(logs.build(stream, clock, registry=registry, dropped="audit_lines_dropped"))


def of_command(settings: Settings, clock: Callable[[], datetime]) -> Audit:
    """The audit trail of a command on the store itself: the file of AUTHY_AUDIT_LOG, or the system's log.

    A container has no system's log as a rule: there it is stderr.

    Raises:
        OSError: the file cannot be written to.
    """
    system = _System() if any(each.exists() for each in SYSTEM_LOGS) else sys.stderr
    return build(settings.audit_log, system, clock)


def system_user() -> str:
    """Who runs this command: the name of the system's user, or its number where it has none.

    Of the process itself, not LOGNAME or USER: anybody sets those.
    """
    try:
        return f"system:{pwd.getpwuid(os.getuid()).pw_name}"
    except KeyError:
        return f"system:{os.getuid()}"


def public(settings: Settings) -> Mapping[str, Any]:
    """Settings as the audit trail has them: of a secret, whether it was given."""
    return {name: _shown(value) for name, value in settings if value not in (None, "")}


def _shown(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return bool(value.get_secret_value())
    return value if isinstance(value, (bool, int)) else str(value)


class _File:
    """Adds lines to a file, which may be moved away between two of them: acts are rare."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, text: str) -> None:
        """Write a line."""
        with open(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, _MODE), "a") as file:
            file.write(text)

    def flush(self) -> None:
        """Each line is written at once."""


class _System:
    """Writes lines to the system's log, as `sudo` does."""

    def write(self, text: str) -> None:
        """Write a line."""
        syslog.openlog("authy-grpc", facility=syslog.LOG_AUTHPRIV)
        syslog.syslog(syslog.LOG_NOTICE, text.rstrip("\n"))

    def flush(self) -> None:
        """Each line is written at once."""
