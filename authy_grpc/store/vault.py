"""Seals what is kept at rest by the keyset, and makes the digests by which it is found.

Sealing is a Tink AEAD whose associated data is table, column and row id, so that ciphertext cannot
be moved to another row. Digests are keyed, one key a purpose, so that one look-up says nothing of
another and a stolen database cannot be searched for a number. A keyset may hold several keys for
each, oldest first; how they come and go is in `rotation.py`.
"""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import tink
from tink import aead, json_proto_keyset_format, prf, secret_key_access

PURPOSES = ("number", "custom_user_id", "peer", "request", "backup_code", "recovery_code", "cursor")
_DIGEST_BYTES = 32
# What Tink puts before a ciphertext: a version, and the id of the key.
PREFIX_BYTES = 5

# The digests for a row's two columns: `…_digest` and `…_digest_odd`.
Pair = tuple[bytes | None, bytes | None]


class KeysetError(Exception):
    """The keyset cannot be read, or is not the one that sealed the data."""


@cache
def _register() -> None:
    aead.register()
    prf.register()


def new_keyset() -> str:
    """Make a keyset: JSON text that holds secrets. Its keys come from Tink's own random source."""
    _register()
    handles = {"aead": tink.new_keyset_handle(aead.aead_key_templates.AES256_GCM)}
    handles |= {name: tink.new_keyset_handle(prf.prf_key_templates.HMAC_SHA256) for name in PURPOSES}
    return write_keyset(handles)


def write_keyset(handles: Mapping[str, tink.KeysetHandle]) -> str:
    """The text of a keyset."""
    keysets = {
        name: json.loads(json_proto_keyset_format.serialize(handle, secret_key_access.TOKEN))
        for name, handle in handles.items()
    }
    return json.dumps({"version": 1, "keysets": keysets}, indent=1)


def read_keyset(text: str) -> dict[str, tink.KeysetHandle]:
    """The keysets of a keyset's text, by purpose.

    Raises:
        KeysetError: the text is no keyset; the error does not repeat it.
    """
    _register()
    try:
        document = json.loads(text)
        texts = {name: json.dumps(document["keysets"][name]) for name in ("aead", *PURPOSES)}
        return {
            name: json_proto_keyset_format.parse(each, secret_key_access.TOKEN)
            for name, each in texts.items()
        }
    except (ValueError, KeyError, TypeError, tink.TinkError):
        # The reasons that a parser gives repeat what it read.
        raise KeysetError("The keyset cannot be read: `authy-grpc keys init` writes another form.") from None


def _primitive(handle: tink.KeysetHandle, kind: type[Any]) -> Any:
    try:
        return handle.primitive(kind)
    except tink.TinkError:
        raise KeysetError(
            "The keyset holds keys of another kind than `authy-grpc keys init` makes."
        ) from None


def _prefix(key_id: int) -> bytes:
    return b"\x01" + key_id.to_bytes(PREFIX_BYTES - 1, "big")


class Vault:
    """Seals, opens and digests with one keyset.

    Args:
        text: the keyset, as `new_keyset` made it.
    """

    def __init__(self, text: str) -> None:
        handles = read_keyset(text)
        # Keys that were there before the oldest one that is: they had turns, too.
        self._dropped: int = json.loads(text).get("dropped", 0)
        self._aead = _primitive(handles["aead"], aead.Aead)
        info = handles["aead"].keyset_info()
        self._prefix, *self._known = (
            _prefix(each) for each in (info.primary_key_id, *[key.key_id for key in info.key_info])
        )
        self._by_age: dict[str, list[prf.Prf]] = {}
        self._prfs: dict[str, list[prf.Prf]] = {}
        for purpose in PURPOSES:
            made = _primitive(handles[purpose], prf.PrfSet)
            ids = [each.key_id for each in handles[purpose].keyset_info().key_info]
            self._by_age[purpose] = [made.all()[each] for each in ids]
            others = [made.all()[each] for each in ids if each != made.primary_id()]
            self._prfs[purpose] = [made.primary(), *others]

    def __repr__(self) -> str:
        return "Vault()"

    def seal(self, place: str, row: str, plain: bytes) -> bytes:
        """Seal bytes for one place.

        Args:
            place: table and column, such as `account.number`.
            row: the row's id.
            plain: what to seal.
        """
        sealed: bytes = self._aead.encrypt(plain, f"{place}\n{row}".encode())
        return sealed

    def open(self, place: str, row: str, sealed: bytes) -> bytes:
        """Open what `seal` made for the same place.

        Raises:
            KeysetError: it was sealed by another keyset, for another place, or was changed since.
        """
        try:
            plain: bytes = self._aead.decrypt(sealed, f"{place}\n{row}".encode())
        except tink.TinkError as error:
            raise KeysetError(f"What is sealed in {place} does not open with this keyset.") from error
        return plain

    def is_current(self, sealed: bytes) -> bool:
        """Whether the primary key has sealed this, by its first `PREFIX_BYTES`."""
        return sealed.startswith(self._prefix)

    def is_unknown(self, sealed: bytes) -> bool:
        """Whether a key has sealed this, if any did, that is not in the keyset."""
        return sealed[:1] == self._prefix[:1] and sealed[:PREFIX_BYTES] not in self._known

    def digest(self, purpose: str, value: bytes) -> bytes:
        """The digest of a value by the purpose's primary key, 32 bytes."""
        digest: bytes = self._prfs[purpose][0].compute(value, _DIGEST_BYTES)
        return digest

    def digests(self, purpose: str, value: bytes) -> tuple[bytes, ...]:
        """The digests of a value by each key of the purpose, the primary's first: look-ups try all."""
        return tuple(each.compute(value, _DIGEST_BYTES) for each in self._prfs[purpose])

    def by_age(self, purpose: str, value: bytes) -> dict[int, bytes]:
        """The digests of a value by each key of the purpose, oldest first, whichever of them is the primary.

        Returns:
            By the number of a key, which it keeps for life: 0 is the first that there ever was. That is
            so for the purposes whose old keys are dropped, see `rotation.py`.
        """
        keys = enumerate(self._by_age[purpose], self._dropped)
        return {age: each.compute(value, _DIGEST_BYTES) for age, each in keys}

    def pair(self, purpose: str, value: bytes) -> Pair:
        """The digests of a value for a row's two columns: keys take turns, each has one column for life."""
        digests: list[bytes | None] = [None, None]
        for age, digest in self.by_age(purpose, value).items():
            digests[age % 2] = digest
        return digests[0], digests[1]
