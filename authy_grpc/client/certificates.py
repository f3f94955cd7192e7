"""Reads PEM certificates and keys, and says what is wrong with a file: DER, passphrase, another's key."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
)

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.+?-----END \1-----", re.DOTALL)


class CertificateError(ValueError):
    """A file of certificates or of a key cannot be used. The text names setting, file and reason."""


@dataclass(frozen=True)
class PemFile:
    """A file that a setting names.

    Attributes:
        setting: such as `AUTHY_TLS_CERT`.
    """

    setting: str
    path: Path

    def read(self) -> bytes:
        """Returns what is in it.

        Raises:
            CertificateError: it is missing, unreadable or empty.
        """
        try:
            found = self.path.read_bytes()
        except FileNotFoundError:
            raise self.wrong("there is no such file") from None
        except PermissionError:
            raise self.wrong("this user may not read it") from None
        except OSError as error:
            raise self.wrong(error.strerror or "it cannot be read") from None
        if not found.strip():
            raise self.wrong("the file is empty")
        return found

    def wrong(self, reason: str) -> CertificateError:
        """Returns the error that says so."""
        return CertificateError(f"{self.setting} is {self.path}: {reason}")


@dataclass(frozen=True)
class Names:
    """Whom a certificate is for.

    Attributes:
        first: its first DNS name, else its first address, else its common name; may be empty.
        all: DNS names and addresses.
    """

    first: str
    all: tuple[str, ...]


def read_roots(file: PemFile) -> bytes:
    """Returns the PEM certificates of a file.

    Raises:
        CertificateError: it holds none.
    """
    found = file.read()
    _certificates(file, found)
    return found


def read_pair(certificate: PemFile, key: PemFile) -> tuple[bytes, bytes]:
    """Returns certificate chain and private key as PEM, once they are known to belong together.

    Raises:
        CertificateError: they do not, or one cannot be read.
    """
    chain, secret = certificate.read(), key.read()
    certificates = _certificates(certificate, chain)
    public = _public_key(key, secret)
    if _public(certificates[0]) == public:
        return chain, secret
    if any(_public(each) == public for each in certificates):
        raise certificate.wrong("the chain is in another order: the server's own certificate comes first")
    raise key.wrong(f"it is not the key of the certificate in {certificate.path}")


def names(chain: bytes) -> Names:
    """Returns whom the first certificate of a chain is for."""
    certificate = _first(chain)
    try:
        other = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        common = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        name = str(common[0].value) if common else ""
        return Names(name, (name,) if name else ())
    dns = other.get_values_for_type(x509.DNSName)
    found = (*dns, *(str(each) for each in other.get_values_for_type(x509.IPAddress)))
    return Names(found[0] if found else "", found)


def lifetime(chain: bytes) -> tuple[datetime, datetime]:
    """Returns from when and until when the first certificate of a chain is good."""
    certificate = _first(chain)
    return certificate.not_valid_before_utc, certificate.not_valid_after_utc


def _first(chain: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(next(_blocks(chain, b"CERTIFICATE")))


def _blocks(pem: bytes, end: bytes) -> Iterator[bytes]:
    return (found[0] for found in _BLOCK.finditer(pem) if found[1].endswith(end))


def _certificates(file: PemFile, pem: bytes) -> list[x509.Certificate]:
    blocks = list(_blocks(pem, b"CERTIFICATE"))
    if not blocks:
        raise file.wrong(_no_certificate(pem))
    try:
        return [x509.load_pem_x509_certificate(each) for each in blocks]
    except ValueError:
        raise file.wrong("a certificate in it cannot be read") from None


def _no_certificate(pem: bytes) -> str:
    if any(_blocks(pem, b"PRIVATE KEY")):
        return "it holds a private key and no certificate"
    if any(_blocks(pem, b"CERTIFICATE REQUEST")):
        return "it holds a request for a certificate: the CA's answer belongs here"
    if _is_der(pem):
        return "it is DER: make PEM of it, `openssl x509 -inform der -in FILE`"
    return "it holds no certificate as PEM (-----BEGIN CERTIFICATE-----)"


def _is_der(found: bytes) -> bool:
    for load in (x509.load_der_x509_certificate, lambda der: load_der_private_key(der, None)):
        try:
            load(found)
        except TypeError:
            # A key that asks for its passphrase.
            return True
        except (ValueError, UnsupportedAlgorithm):
            continue
        return True
    return False


def _public_key(file: PemFile, pem: bytes) -> bytes:
    block = next(_blocks(pem, b"PRIVATE KEY"), None)
    if block is None:
        if _is_der(pem):
            raise file.wrong("it is DER: make PEM of it, `openssl pkey -inform der -in FILE`")
        holds = (
            "a certificate and no private key"
            if any(_blocks(pem, b"CERTIFICATE"))
            else "no private key as PEM"
        )
        raise file.wrong(f"it holds {holds}")
    try:
        return _public(load_pem_private_key(block, None))
    except TypeError:
        raise file.wrong("it has a passphrase: take it away, `openssl pkey -in FILE -out NEW`") from None
    except (ValueError, UnsupportedAlgorithm):
        raise file.wrong("the private key in it cannot be read") from None


def _public(owner: x509.Certificate | PrivateKeyTypes) -> bytes:
    return owner.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
