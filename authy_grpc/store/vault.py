"""Owns the keyset: seals what is kept at rest, and makes the digests by which it is found.

Sealing is a Tink AEAD whose associated data is table, column and row id, so that ciphertext cannot
be moved to another row. Digests are keyed, one key a purpose, so that one look-up says nothing of
another and a stolen database cannot be searched for a number.
"""

import json
from collections.abc import Mapping

import tink
from tink import aead, json_proto_keyset_format, prf, secret_key_access

PURPOSES = ("number", "custom_user_id", "peer", "request", "backup_code", "recovery_code", "cursor")
_DIGEST_BYTES = 32


class KeysetError(Exception):
    """The keyset cannot be read, or is not the one that sealed the data."""


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


class Vault:
    """Seals, opens and digests with one keyset.

    Args:
        text: the keyset, as `new_keyset` made it.
    """

    def __init__(self, text: str) -> None:
        handles = read_keyset(text)
        self._aead = handles["aead"].primitive(aead.Aead)
        self._prfs: dict[str, list[prf.Prf]] = {}
        for purpose in PURPOSES:
            made = handles[purpose].primitive(prf.PrfSet)
            # The primary first: it is what new digests are made with.
            others = [each for key, each in sorted(made.all().items()) if key != made.primary_id()]
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

    def digest(self, purpose: str, value: bytes) -> bytes:
        """The digest of a value by the purpose's primary key, 32 bytes."""
        digest: bytes = self._prfs[purpose][0].compute(value, _DIGEST_BYTES)
        return digest

    def digests(self, purpose: str, value: bytes) -> tuple[bytes, ...]:
        """The digests of a value by each key of the purpose, the primary's first: look-ups try all."""
        return tuple(each.compute(value, _DIGEST_BYTES) for each in self._prfs[purpose])
