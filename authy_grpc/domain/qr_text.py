"""The text of an enrollment's QR code, written and read: a link with a token, or a seed for any app."""

import base64
import re
from urllib.parse import quote

from authy_grpc.domain.errors import BadField

_TOKEN = re.compile(r"[A-Za-z0-9_-]{22}")


def token_uri(public_url: str, token: str) -> str:
    """The link into the web authenticator. Browsers keep what follows `#` to themselves.

    Args:
        public_url: the service's origin, without a slash at its end.
        token: from `ids.enrollment_token`.
    """
    return f"{public_url}/app/#/e/{token}"


def read_token(public_url: str, text: str) -> str:
    """The bare token.

    Args:
        public_url: the service's origin, without a slash at its end.
        text: the token, or all that was scanned.

    Raises:
        BadField: it is of another origin or form.
    """
    token = text.removeprefix(token_uri(public_url, ""))
    if _TOKEN.fullmatch(token) is None:
        raise BadField.one("token", "is not from a QR code of this service")
    return token


def otpauth_uri(seed: bytes, *, issuer: str, label: str, digits: int, period: int) -> str:
    """The URI by which any RFC 6238 app takes a seed (the Key URI format).

    Args:
        seed: the HMAC-SHA-1 key.
        issuer: name of the site.
        label: what the app writes beside the code; empty for the issuer.
        digits: of a code.
        period: seconds for which a code stands.
    """
    # A colon parts issuer and label, and apps read an escaped one so too.
    account = quote((label or issuer).replace(":", "-"), safe="")
    name = account if ":" in issuer else f"{quote(issuer, safe='')}:{account}"
    secret = base64.b32encode(seed).decode().rstrip("=")
    return (
        f"otpauth://totp/{name}?secret={secret}&issuer={quote(issuer, safe='')}"
        f"&algorithm=SHA1&digits={digits}&period={period}"
    )
