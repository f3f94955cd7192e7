"""P-256 keys: their forms, what they sign byte for byte, and what is derived from them.

Public keys are uncompressed points, 65 bytes. Text in what is signed or derived is UTF-8, a newline is 0x0A.
"""

import hashlib
import re
from collections.abc import Callable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from authy_grpc.domain.encoding import base64url, base64url_decode
from authy_grpc.domain.errors import BadSignature

_POINT_BYTES = 65
_UNCOMPRESSED = 4
_SCALAR_BYTES = 32
_TOTP_BYTES = 20
# Of P-256's group (SP 800-186 section 3.2.1.3).
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_ES256 = ec.ECDSA(hashes.SHA256())
_COORDINATE = "([A-Za-z0-9_-]{43})"
_JWK = re.compile(rf'\{{"crv":"P-256","kty":"EC","x":"{_COORDINATE}","y":"{_COORDINATE}"\}}')


def new_private_key(random: Callable[[int], bytes]) -> ec.EllipticCurvePrivateKey:
    """Makes a P-256 key (FIPS 186-5 appendix A.2.1: 64 bits more than needed, so that none is likelier).

    Args:
        random: gives that many random bytes.
    """
    drawn = int.from_bytes(random(_SCALAR_BYTES + 8), "big")
    return ec.derive_private_key(drawn % (_ORDER - 1) + 1, ec.SECP256R1())


def public_point(private: ec.EllipticCurvePrivateKey) -> bytes:
    """Gives the public half of a key.

    Args:
        private: a P-256 key.

    Returns:
        The uncompressed point, 65 bytes (SEC 1 section 2.3.3).
    """
    return private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def load_point(point: bytes) -> ec.EllipticCurvePublicKey:
    """Reads a public key that a stranger sent.

    Args:
        point: an uncompressed point, 65 bytes.

    Returns:
        The key, on the curve (SP 800-186 appendix D.1).

    Raises:
        BadSignature: another length or form, off the curve, or the point at infinity.
    """
    if len(point) != _POINT_BYTES or point[0] != _UNCOMPRESSED:
        raise BadSignature
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError:
        raise BadSignature from None


def sign(private: ec.EllipticCurvePrivateKey, message: bytes) -> bytes:
    """Signs by ES256 (RFC 7518 section 3.4).

    Args:
        private: a P-256 key.
        message: what is signed, not hashed.

    Returns:
        r and s, 32 bytes each, big-endian.
    """
    r, s = decode_dss_signature(private.sign(message, _ES256))
    return r.to_bytes(_SCALAR_BYTES, "big") + s.to_bytes(_SCALAR_BYTES, "big")


def verify(point: bytes, message: bytes, signature: bytes) -> None:
    """Checks an ES256 signature.

    For each signature (r, s) anybody can make (r, n - s), which verifies too. WebCrypto writes either, so
    both are taken; nothing may treat a signature as a name of what was signed, or look for replays by it.

    Args:
        point: the signer's uncompressed point.
        message: what was signed.
        signature: r and s, 64 bytes.

    Raises:
        BadSignature: it does not verify, or the point is none.
    """
    if len(signature) != 2 * _SCALAR_BYTES:
        raise BadSignature
    r = int.from_bytes(signature[:_SCALAR_BYTES], "big")
    s = int.from_bytes(signature[_SCALAR_BYTES:], "big")
    try:
        load_point(point).verify(encode_dss_signature(r, s), message, _ES256)
    except InvalidSignature:
        raise BadSignature from None


def jwk(point: bytes) -> str:
    """Writes a public key as a JSON Web Key (RFC 7517), as RFC 7638 section 3.2 orders it.

    Args:
        point: an uncompressed point.

    Returns:
        `{"crv":"P-256","kty":"EC","x":…,"y":…}` without white space.

    Raises:
        BadSignature: the point is none.
    """
    load_point(point)
    return write_jwk(point)


def write_jwk(point: bytes) -> str:
    """Writes a key that was judged before as `jwk` does: to judge it takes longer than all else of a page."""
    x, y = base64url(point[1 : 1 + _SCALAR_BYTES]), base64url(point[1 + _SCALAR_BYTES :])
    return f'{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}'


def point_of_jwk(jwk: str) -> bytes:
    """Reads what `jwk` writes, and no other spelling.

    Args:
        jwk: a JSON Web Key.

    Returns:
        The uncompressed point.

    Raises:
        BadSignature: another form, or no point of P-256.
    """
    found = _JWK.fullmatch(jwk)
    if found is None:
        raise BadSignature
    try:
        x, y = (base64url_decode(text) for text in found.groups())
    except ValueError:
        raise BadSignature from None
    point = bytes([_UNCOMPRESSED]) + x + y
    load_point(point)
    return point


def thumbprint(point: bytes) -> str:
    """Names a public key (RFC 7638, SHA-256).

    Args:
        point: an uncompressed point.

    Returns:
        43 base64url characters: the `kid` of a receipt.

    Raises:
        BadSignature: the point is none.
    """
    return base64url(hashlib.sha256(jwk(point).encode("ascii")).digest())


def registration_message(verification_id: str, signing_key: bytes, agreement_key: bytes) -> bytes:
    """Writes what a new device signs (`RegisterDeviceRequest.signature`).

    Args:
        verification_id: of the code that proves the number.
        signing_key: the device's, an uncompressed point.
        agreement_key: the device's, an uncompressed point.

    Returns:
        The bytes to sign with the signing key.
    """
    return f"authy_grpc register v1\n{verification_id}\n".encode() + signing_key + agreement_key


def site_key_message(device_id: str, token_or_site_id: str, site_key: bytes) -> bytes:
    """Writes what a site key and the device's signing key sign (`AcceptEnrollmentRequest`).

    Args:
        device_id: of the device that holds both.
        token_or_site_id: the bare token of AcceptEnrollment, the site_id of AddSiteKey.
        site_key: an uncompressed point.

    Returns:
        The bytes to sign with each.
    """
    return f"authy_grpc site key v1\n{device_id}\n{token_or_site_id}\n".encode() + site_key


def proof_message(device_id: str, method: str, time_millis: int, *names: str) -> bytes:
    """Writes what a device signs to ask for one thing now (`DeviceProof.signature`).

    A newline follows `time_millis` always: "here" in "where nothing more, the bytes end here" is the place
    of the names, behind that newline. So naming nothing and naming one empty text are the same bytes, which
    does no harm: how many names there are is the method's, and the method is signed.

    Args:
        device_id: of the device that asks.
        method: such as `authy_grpc.v1.AccountService/RevokeDevice`.
        time_millis: milliseconds since 1970.
        names: what the request names, joined by newlines.

    Returns:
        The bytes to sign with the device's signing key.
    """
    named = "\n".join(names)
    return f"authy_grpc proof v1\n{device_id}\n{method}\n{time_millis}\n{named}".encode()


def agree(private: ec.EllipticCurvePrivateKey, peer_point: bytes) -> bytes:
    """Agrees on a secret with the holder of another key (ECDH, SP 800-56A).

    Args:
        private: one's own P-256 key.
        peer_point: the other's uncompressed point.

    Returns:
        The x coordinate, 32 bytes.

    Raises:
        BadSignature: the point is none.
    """
    return private.exchange(ec.ECDH(), load_point(peer_point))


def totp_secret(
    shared: bytes, *, site_id: str, device_id: str, agreement_key: bytes, server_agreement_key: bytes
) -> bytes:
    """Derives the secret of a device's codes for a link (HKDF-SHA256, RFC 5869; `Site.site_id`).

    Args:
        shared: what the two agreement keys agree on, 32 bytes.
        site_id: of the link.
        device_id: of the device.
        agreement_key: the device's uncompressed point.
        server_agreement_key: the service's for this device, an uncompressed point.

    Returns:
        20 bytes.
    """
    info = b"authy_grpc totp v1\n" + device_id.encode() + agreement_key + server_agreement_key
    derivation = HKDF(algorithm=hashes.SHA256(), length=_TOTP_BYTES, salt=site_id.encode(), info=info)
    return derivation.derive(shared)


def device_check(
    device_id: str, signing_key: bytes, agreement_key: bytes, server_agreement_key: bytes
) -> str:
    """Makes the digits by which an owner recognises a waiting device (`Device.check`).

    The service's key is in them, and is drawn after the device has named its own: so nobody can try keys
    until the digits are those of another device.

    Args:
        device_id: of the device that waits.
        signing_key: its uncompressed point.
        agreement_key: its uncompressed point.
        server_agreement_key: the service's for this device, an uncompressed point.

    Returns:
        Six digits, leading zeros kept.
    """
    message = f"authy_grpc device check v1\n{device_id}\n".encode()
    digest = hashlib.sha256(message + signing_key + agreement_key + server_agreement_key).digest()
    return f"{int.from_bytes(digest, 'big') % 1_000_000:06d}"
