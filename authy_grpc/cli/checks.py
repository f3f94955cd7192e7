"""The checks of `doctor`, in an order in which each goes on from what was found before."""

import os
import resource
import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import ValidationError

from authy_grpc import home, listeners
from authy_grpc.bootstrap import real_clock
from authy_grpc.cli import addresses, installation, known
from authy_grpc.cli.failure import Failure, explain
from authy_grpc.cli.finding import Finding
from authy_grpc.cli.gateway import check_http_address, check_http_certificate
from authy_grpc.cli.serve import check_texts
from authy_grpc.client import AuthyError, Client
from authy_grpc.client.certificates import CertificateError
from authy_grpc.domain.clock import lies_well_beyond
from authy_grpc.listening import ListenError
from authy_grpc.settings import Settings
from authy_grpc.store import checkup, rotation, schema
from authy_grpc.store.trouble import DatabaseTrouble
from authy_grpc.store.vault import KeysetError, Vault
from authy_grpc.tidy import PREFIX
from authy_grpc.v1.application_pb2 import ListApplicationsRequest

_OTHERS = 0o077
_FEW_DESCRIPTORS = 1024
_MAX_SKEW_SECONDS = 5
_MAX_HELD_BACK_SECONDS = 5
_PATIENCE = 3.0
_LOW_SPACE = 200 * 1024 * 1024
_ROTATION = {
    rotation.Stage.ADDED: "; new keys were added, next is `authy-grpc keys promote`",
    rotation.Stage.PROMOTED: "; new keys were promoted, next is `authy-grpc keys reencrypt`",
}


def all_of(server: str) -> list[Finding]:
    """Look at everything.

    Args:
        server: where the service should answer; where empty, what the settings say.
    """
    try:
        settings = installation.read_settings()
    except (ValidationError, OSError) as error:
        failure = explain(error) or Failure(f"A file that a setting names cannot be read: {error}")
        return [Finding("settings", "fail", failure.text, failure.mend)]
    return [
        *_settings(settings),
        *addresses.listens(settings),
        *addresses.proxies(settings),
        *_gateway(settings),
        _descriptors(),
        *_texts(settings),
        *_store(settings),
        *_server(server or addresses.own(settings), settings),
    ]


def _settings(settings: Settings) -> Iterator[Finding]:
    if strange := known.unknown():
        yield Finding("settings", "fail", known.tell(strange), known.mend(strange))
    else:
        given = sum(name.startswith(PREFIX) for name in os.environ)
        yield Finding("settings", "ok", f"{given} from the environment; home is {settings.home.resolve()}")


def _gateway(settings: Settings) -> Iterator[Finding]:
    try:
        check_http_address(settings)
        check_http_certificate(settings)
    except ModuleNotFoundError:
        return
    except (ValidationError, Failure, ListenError, CertificateError) as error:
        failure = explain(error) or Failure(str(error))
        yield Finding("gateway", "fail", failure.text, failure.mend)
    else:
        yield Finding("gateway", "ok", "its settings can be read")
        yield from addresses.certificate("gateway tls", settings.http_tls_cert)


def _descriptors() -> Finding:
    """What the limit of descriptors, which a service inherits as this command does, means for connections."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return Finding("connections", "ok", "no limit of descriptors here")
    most = listeners.most_connections()
    text = f"{most} to gRPC and as many to the gateway, of {soft} descriptors here"
    if soft < _FEW_DESCRIPTORS:
        mend = "Raise it where the service starts: `ulimit -n 65536`, LimitNOFILE= with systemd."
        return Finding("connections", "warn", f"{text}: a few strangers take them all.", mend)
    return Finding("connections", "ok", text)


def _server(at: str, settings: Settings) -> Iterator[Finding]:
    """Whether a service answers, and whether it is the one of this home."""
    for finding in addresses.server(at):
        yield finding
        if finding.level != "ok":
            return
    try:
        key = home.read_operator_key(settings)
    except home.HomeError:
        return
    try:
        with Client(at, key) as client:
            client.applications.ListApplications(ListApplicationsRequest(page_size=1), timeout=_PATIENCE)
    except AuthyError as error:
        if error.reason == "BAD_CREDENTIAL":
            text = f"What answers at {at} has another operator key than this home."
            mend = "Set AUTHY_HOME and AUTHY_LISTEN (or AUTHY_SERVER) of one and the same installation."
            yield Finding("server", "fail", text, mend)


def _texts(settings: Settings) -> Iterator[Finding]:
    scheme, _, rest = settings.texts.partition(":")
    try:
        check_texts(settings)
    except Failure as failure:
        yield Finding("texts", "fail", failure.text, failure.mend)
        return
    if not scheme:
        yield Finding(
            "texts",
            "fail",
            "No text message can go out.",
            "Set AUTHY_SMS_URL, or for development AUTHY_DEV=1, as for the server.",
        )
    elif scheme == "file" and not os.access(Path(rest).resolve().parent, os.W_OK):
        yield Finding("texts", "fail", f"{rest} cannot be written.", "Name a file in a folder of yours.")
    elif not settings.dev:
        mend = "Good for tests alone; carriers are not built yet."
        yield Finding("texts", "warn", f"{scheme}: reaches no phone.", mend)
    else:
        yield Finding("texts", "ok", f"{scheme}:")


def _store(settings: Settings) -> Iterator[Finding]:
    if faults := home.open_folders(settings):
        yield from (Finding("permissions", "fail", text, mend) for text, mend in faults)
        return
    try:
        path = installation.sqlite_file(settings)
        installation.require_database(settings)
        secrets = home.read_secrets(settings)
        vault = Vault(secrets.keyset)
        yield Finding(
            "secrets", "ok", f"keyset, operator and gateway key are there ({home.secrets_folder(settings)})"
        )
        yield from _permissions(settings, path)
        found = checkup.look(settings.database, vault)
        schema.check(settings.database)
    except (Failure, home.HomeError, KeysetError, schema.SchemaError, DatabaseTrouble) as error:
        failure = explain(error) or Failure(str(error), "Mend AUTHY_DATABASE_URL, or start the database.")
        yield Finding("database", "fail", failure.text, failure.mend or "See docs/operations.md.")
        return
    yield Finding("database", "ok", "reachable, its schema is this version's")
    if found.sealed:
        rotates = _ROTATION.get(rotation.stage(secrets.keyset), "")
        yield Finding("keyset", "ok", f"opens what the database holds{rotates}")
    else:
        yield Finding("keyset", "ok", "will be the database's own from the first start on")
    yield _clock(found.time, found.newest)
    if found.time is not None:
        yield _feed(found.held_back)


def _permissions(settings: Settings, path: Path | None) -> Iterator[Finding]:
    open_ = [
        (f"Others may read {each}.", f"chmod go-rwx {each}")
        for each in (path,)
        if each and each.exists() and each.stat().st_mode & _OTHERS
    ]
    open_ += [
        (f"Everybody may put another folder in place in {each}.", f"chmod o-w {each}")
        for each in settings.home.resolve().parents
        if home.is_writable_by_all(each)
    ]
    yield from (Finding("permissions", "warn", text, mend) for text, mend in open_)
    if not open_:
        yield Finding("permissions", "ok", "only their owner reads secrets and database")
    if path is not None and (free := shutil.disk_usage(path.parent).free) < _LOW_SPACE:
        yield Finding("disk", "warn", f"{free // 1024 // 1024} MiB are free at {path.parent}.", "Make room.")


def _clock(theirs: datetime | None, newest: datetime | None) -> Finding:
    now = real_clock()
    if newest is not None and lies_well_beyond(newest, now):
        text = f"{(newest - now).total_seconds():.0f} s behind the newest row of the database."
        mend = "This clock is wrong, or was one that has run ahead: let NTP set all of them."
        return Finding("clock", "fail", text, mend)
    since = "" if newest is None else f"; the newest row is {(now - newest).total_seconds():.0f} s old"
    if theirs is None:
        return Finding("clock", "ok", f"{now:%Y-%m-%d %H:%M:%S} UTC; codes need a right clock{since}")
    skew = (now - theirs).total_seconds()
    if abs(skew) > _MAX_SKEW_SECONDS:
        return Finding("clock", "fail", f"{skew:+.1f} s off the database's.", "Let NTP set both clocks.")
    return Finding("clock", "ok", f"{skew:+.1f} s off the database's{since}")


def _feed(held_back: timedelta | None) -> Finding:
    if held_back is None or held_back.total_seconds() < _MAX_HELD_BACK_SECONDS:
        return Finding("feed", "ok", "no open write holds it back")
    return Finding(
        "feed",
        "warn",
        f"An event of {held_back.total_seconds():.0f} s ago waits: a write is open in this cluster.",
        "Look for an old xact_start in pg_stat_activity and in pg_prepared_xacts, and end what it is.",
    )
