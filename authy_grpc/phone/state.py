"""Keeps a phone's state: device id and private keys, in memory or in a file for its owner alone."""

import fcntl
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    derive_private_key,
    generate_private_key,
)

from authy_grpc.domain.encoding import base64url, base64url_decode
from authy_grpc.phone.errors import PhoneError

Keys = Mapping[str, EllipticCurvePrivateKey]

_VERSION = 1


def new_key() -> EllipticCurvePrivateKey:
    """Makes a P-256 key."""
    return generate_private_key(SECP256R1())


@dataclass(frozen=True)
class State:
    """What a registered phone must not lose.

    Attributes:
        device_id: as RegisterDevice answered it.
        signing_key: signs for the device.
        agreement_key: makes the codes, with `server_agreement_key`.
        server_agreement_key: the service's public key for this device, an uncompressed point.
        site_keys: the keys that sites know, by site_id.
        new_keys: the keys that a call may have brought to a site, by the site_id, or the token of the
            enrollment, that the call named: it is repeated with the same key until an answer comes.
        last_proof: of the last DeviceProof, milliseconds since 1970; the next is later.
    """

    device_id: str
    signing_key: EllipticCurvePrivateKey = field(repr=False)
    agreement_key: EllipticCurvePrivateKey = field(repr=False)
    server_agreement_key: bytes = field(repr=False)
    site_keys: Keys = field(default_factory=dict, repr=False)
    new_keys: Keys = field(default_factory=dict, repr=False)
    last_proof: int = 0

    def with_new_key(self, name: str, key: EllipticCurvePrivateKey) -> "State":
        """Keeps `key` under a token or site_id, unless there is one for it already."""
        if name in self.site_keys or name in self.new_keys:
            return self
        return replace(self, new_keys={**self.new_keys, name: key})

    def with_site(self, name: str, site_id: str) -> "State":
        """Takes the new key that went out under `name` as the one that the site knows."""
        if name not in self.new_keys:
            return self
        others = {other: key for other, key in self.new_keys.items() if other != name}
        return replace(self, site_keys={**self.site_keys, site_id: self.new_keys[name]}, new_keys=others)

    def without(self, name: str) -> "State":
        """Drops the keys of a token or site_id."""
        return replace(
            self,
            site_keys={other: key for other, key in self.site_keys.items() if other != name},
            new_keys={other: key for other, key in self.new_keys.items() if other != name},
        )

    def to_json(self) -> str:
        """All of it, secrets too: private keys as base64url of the 32-byte scalar, big-endian."""
        return json.dumps(
            {
                "version": _VERSION,
                "device_id": self.device_id,
                "signing_key": _write_key(self.signing_key),
                "agreement_key": _write_key(self.agreement_key),
                "server_agreement_key": base64url(self.server_agreement_key),
                "site_keys": {name: _write_key(key) for name, key in self.site_keys.items()},
                "new_keys": {name: _write_key(key) for name, key in self.new_keys.items()},
                "last_proof": self.last_proof,
            },
            indent=2,
        )

    @classmethod
    def from_json(cls, text: str) -> "State":
        """Reads what `to_json` wrote.

        Raises:
            PhoneError: for anything else; the text is not repeated.
        """
        try:
            return cls._read(json.loads(text))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise PhoneError("this is not the state of a phone") from None

    @classmethod
    def _read(cls, values: dict[str, Any]) -> "State":
        if values["version"] != _VERSION:
            raise PhoneError("the state was written by another version")
        return cls(
            device_id=str(values["device_id"]),
            signing_key=_read_key(values["signing_key"]),
            agreement_key=_read_key(values["agreement_key"]),
            server_agreement_key=base64url_decode(values["server_agreement_key"]),
            site_keys={name: _read_key(key) for name, key in values["site_keys"].items()},
            new_keys={name: _read_key(key) for name, key in values["new_keys"].items()},
            last_proof=int(values["last_proof"]),
        )


class Keeper:
    """Holds the state, and writes each change to the file before the phone goes on.

    Several processes may share the file: each change is made to what the file says then.

    Args:
        path: of the file, made at registration with mode 0600, its folder with 0700; None keeps all in
            memory.

    Raises:
        PhoneError: where others than its owner may read the file, or it holds something else.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self._path = None if path is None else Path(path)
        self._state = None if self._path is None else _load(self._path)

    @property
    def registered(self) -> bool:
        """Whether there is a state."""
        return self._state is not None

    @property
    def state(self) -> State:
        """The state as this phone last wrote or read it.

        Raises:
            PhoneError: before registration.
        """
        if self._state is None:
            raise PhoneError("this phone is not registered")
        return self._state

    def create(self, state: State) -> None:
        """Keeps the state of a device just registered.

        Raises:
            PhoneError: where there is one already, such as another process has written.
        """
        with self._current() as current:
            if current is not None:
                raise PhoneError("this phone is registered already")
            self._save(state)

    def change(self, change: Callable[[State], State]) -> State:
        """Applies a change to the present state and returns what is kept from now on."""
        with self._current() as current:
            if current is None:
                raise PhoneError("this phone is not registered")
            changed = change(current)
            if changed is not current:
                self._save(changed)
            self._state = changed
        return changed

    def erase(self) -> None:
        """Forgets all, and removes the file."""
        with self._current():
            if self._path is not None:
                self._path.unlink(missing_ok=True)
            self._state = None

    @contextmanager
    def _current(self) -> Iterator[State | None]:
        if self._path is None:
            yield self._state
            return
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield _load(self._path)
            os.fsync(folder)
        finally:
            os.close(folder)

    def _save(self, state: State) -> None:
        if self._path is not None:
            _replace(self._path, state.to_json().encode())
        self._state = state


def _load(path: Path) -> State | None:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read()
    except FileNotFoundError:
        return None
    if mode & 0o077:
        raise PhoneError(f"others than its owner may use {path}, which holds private keys: chmod 600 it")
    return State.from_json(text.decode(errors="replace"))


def _replace(path: Path, content: bytes) -> None:
    # mkstemp makes the file with O_EXCL and mode 0600.
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _write_key(key: EllipticCurvePrivateKey) -> str:
    return base64url(key.private_numbers().private_value.to_bytes(32, "big"))


def _read_key(text: str) -> EllipticCurvePrivateKey:
    return derive_private_key(int.from_bytes(base64url_decode(text), "big"), SECP256R1())
