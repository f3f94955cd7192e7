"""Reads and makes the secrets of an installation, in files that nobody else can read."""

import os
import stat
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from authy_grpc.domain.ids import is_secret, new_secret
from authy_grpc.settings import Settings
from authy_grpc.store.vault import new_keyset

_FILES = {"keyset": "keyset.json", "operator_key": "operator.key", "gateway_key": "gateway.key"}
_PREFIXES = {"operator_key": "op", "gateway_key": "gw"}
_OTHERS = 0o077


class HomeError(Exception):
    """A secret is missing or lies open; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """What an installation keeps to itself."""

    keyset: str = field(repr=False)
    operator_key: str = field(repr=False)
    gateway_key: str = field(repr=False)


def secrets_folder(settings: Settings) -> Path:
    """Where the secrets lie."""
    return settings.home / "secrets"


def make_secrets(settings: Settings, random: Callable[[int], bytes]) -> Path:
    """Make the secrets that are neither given by a setting nor there yet.

    One that is given is not made: a file that nothing reads would pass for the real one in a backup.

    Args:
        settings: says where.
        random: source of random bytes.

    Returns:
        The folder, of mode 0700; its files are of mode 0600.

    Raises:
        HomeError: the folder was there, and others may use it: what lies in it may be theirs.
    """
    folder = secrets_folder(settings)
    check_folders(settings)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    made: dict[str, Callable[[], str]] = {
        "keyset": new_keyset,
        "operator_key": lambda: new_secret("op", random),
        "gateway_key": lambda: new_secret("gw", random),
    }
    for name, make in made.items():
        path = folder / _FILES[name]
        if not _given(settings, name) and not path.exists():
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(make() + "\n")
    return folder


def read_secrets(settings: Settings) -> Secrets:
    """Read each secret from its setting, else from its file.

    Raises:
        HomeError: one is in neither place, has not its form, or others can read its file or its folder.
    """
    check_folders(settings)
    return Secrets(**{name: _read(settings, name) for name in _FILES})


def read_gateway_key(settings: Settings) -> str:
    """Read the key of gateways alone, which is all that one may know.

    Raises:
        HomeError: it is in neither place, has not its form, or others can read its file or its folder.
    """
    return _read(settings, "gateway_key")


def read_operator_key(settings: Settings) -> str:
    """Read the operator key alone, for commands that call the service.

    Raises:
        HomeError: it is in neither place, has not its form, or others can read its file or its folder.
    """
    return _read(settings, "operator_key")


def check_folders(settings: Settings) -> None:
    """Look that nobody but the owner may use the folders of secrets and data, or put others in their place.

    Raises:
        HomeError: somebody may.
    """
    for text, mend in open_folders(settings):
        raise HomeError(f"{text} Run `{mend}`.")


def open_folders(settings: Settings) -> list[tuple[str, str]]:
    """Which of the home's folders others may use: what is wrong with each, and the command that mends it."""
    own = [each for each in (secrets_folder(settings), settings.home / "data") if each.is_dir()]
    found = [
        (f"{each} is open to others than its owner.", f"chmod 700 {each}")
        for each in own
        if each.stat().st_mode & _OTHERS
    ]
    home = settings.home
    if home.is_dir() and is_writable_by_all(home):
        found.append((f"Everybody may write to {home}, and put secrets in place.", f"chmod o-w {home}"))
    return found


def is_writable_by_all(folder: Path) -> bool:
    """Whether everybody may rename what lies in a folder."""
    # In a sticky one, such as /tmp, nobody can rename what is another's.
    mode = folder.stat().st_mode
    return bool(mode & stat.S_IWOTH) and not mode & stat.S_ISVTX


def require_file(settings: Settings) -> Path:
    """The file of the keyset, which must be what the keyset is read from.

    Raises:
        HomeError: the keyset is given by a setting.
    """
    path = (secrets_folder(settings) / _FILES["keyset"]).resolve()
    if _given(settings, "keyset"):
        raise HomeError(
            "The keyset is given by AUTHY_KEYSET or AUTHY_KEYSET_FILE, which this command cannot change."
            f" Write it to {path} (chmod 600), unset both and run this again: the file then holds what to"
            " give to every server in its place."
        )
    return path


def change_keyset(settings: Settings, change: Callable[[str], str]) -> Path:
    """Change the keyset's file: whoever reads it meanwhile gets the one before or the one after.

    Args:
        settings: says where.
        change: makes the new text of the old one.

    Returns:
        The file, of mode 0600 and its former owner.

    Raises:
        HomeError: the keyset is given by a setting, is missing, or others can read it.
    """
    path = require_file(settings)
    text = change(_read(settings, "keyset"))
    owner = path.stat()
    handle, new = tempfile.mkstemp(prefix="keyset.", dir=path.parent)
    try:
        with os.fdopen(handle, "w") as file:
            # Root may do this for the user that the service runs as.
            os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except BaseException:
        os.unlink(new)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return path


def _given(settings: Settings, name: str) -> str:
    given: str = getattr(settings, name).get_secret_value()
    return given


def _read(settings: Settings, name: str) -> str:
    if given := _given(settings, name).strip():
        return _checked(name, given, f"AUTHY_{name.upper()}")
    folder = secrets_folder(settings)
    path = folder / _FILES[name]
    if not path.exists():
        raise HomeError(
            f"{path} is missing: set AUTHY_{name.upper()}, or make it with `authy-grpc keys init`."
        )
    check_folders(settings)
    if path.stat().st_mode & _OTHERS:
        raise HomeError(f"{path} can be read by others: run `chmod 600 {path}`.")
    secret = path.read_text().strip()
    if not secret:
        raise HomeError(f"{path} is empty: restore it, or remove it and make it with `authy-grpc keys init`.")
    return _checked(name, secret, str(path))


def _checked(name: str, secret: str, source: str) -> str:
    """Take only what `keys init` could have made: a key that can be guessed lets everybody in."""
    prefix = _PREFIXES.get(name)
    if prefix is not None and not is_secret(prefix, secret):
        raise HomeError(
            f"{source} holds no {name.replace('_', ' ')}: it must be `{prefix}_` and 52 characters of base32,"
            " as `authy-grpc keys init` makes it."
        )
    return secret
