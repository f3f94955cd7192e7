"""Reads what the camera sees: the text of a QR code in an image, and the enrollment token in that text."""

import io
import re

import zxingcpp
from PIL import Image, UnidentifiedImageError

from authy_grpc.phone.errors import PhoneError

_TOKEN = re.compile(r"[A-Za-z0-9_-]{22}")


def read_qr(image: bytes) -> str:
    """Returns the text of the one QR code in an image (PNG or what else Pillow reads).

    Raises:
        PhoneError: for what is no image, or shows no QR code or several.
    """
    try:
        with Image.open(io.BytesIO(image)) as opened:
            grey = opened.convert("RGBA")
    except (UnidentifiedImageError, OSError):
        raise PhoneError("this is not an image") from None
    page = Image.new("RGBA", grey.size, "white")
    page.alpha_composite(grey)
    # A shaped buffer, since zxing-cpp reads Pillow's images only where numpy is installed.
    pixels = memoryview(page.convert("L").tobytes()).cast("B", (page.height, page.width))
    found = zxingcpp.read_barcodes(pixels, formats=zxingcpp.BarcodeFormats([zxingcpp.BarcodeFormat.QRCode]))
    if len(found) != 1:
        raise PhoneError(f"the image shows {len(found) or 'no'} QR code{'s' if found else ''}")
    return found[0].text


def read_token(text: str, origin: str) -> str:
    """Returns the token in the text of an enrollment's QR code, `{origin}/app/#/e/{token}`.

    Args:
        text: as scanned.
        origin: the service's public URL.

    Raises:
        PhoneError: for text of another origin or form; it is not repeated.
    """
    token = text.removeprefix(f"{origin.rstrip('/')}/app/#/e/")
    if token == text or not _TOKEN.fullmatch(token):
        raise PhoneError(f"this is not a QR code of {origin}")
    return token
