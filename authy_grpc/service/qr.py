"""Draws QR codes: too slow for the loop, so in threads of its own, in which callers take turns."""

import asyncio
import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from authy_grpc.store.fair import FairQueue

_DEFAULT_SIZE = 8
_BORDER = 4
# A terminal is dark: what is light in the code is a block. Upper half, then lower, from dark to light.
_HALF_BLOCKS = {(True, True): " ", (True, False): "▄", (False, True): "▀", (False, False): "█"}


class QrFormat(StrEnum):
    """How a QR code comes, by its media type."""

    PNG = "image/png"
    SVG = "image/svg+xml"
    TEXT = "text/plain"


@dataclass(frozen=True, slots=True)
class QrCode:
    """A QR code.

    Attributes:
        uri: what it says.
        image: empty where none was asked for.
        media_type: of the image.
    """

    uri: str = field(repr=False)
    image: bytes = field(default=b"", repr=False)
    media_type: str = ""


class QrCodes:
    """Draws QR codes.

    Args:
        threads: how many are drawn at once.
        waiting: how many of one caller may wait for that.
    """

    def __init__(self, *, threads: int = 1, waiting: int = 100) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="authy-qr")
        self._queue = FairQueue(threads, threads, most_waiting=waiting)

    async def draw(self, uri: str, format: QrFormat | None, module_size: int, *, by: str = "") -> QrCode:
        """Draw a QR code.

        Args:
            uri: what it says.
            format: None for no image.
            module_size: pixels a module, of a PNG; 0 for 8.
            by: the caller whose turn it takes.

        Raises:
            RateLimited: too many of the caller's wait already.
        """
        if format is None:
            return QrCode(uri)
        async with self._queue.turn(by):
            loop = asyncio.get_running_loop()
            image = await loop.run_in_executor(self._pool, _image, uri, format, module_size or _DEFAULT_SIZE)
        return QrCode(uri, image, format.value)

    def close(self) -> None:
        """Finish what is being drawn."""
        self._pool.shutdown()


def _image(uri: str, format: QrFormat, module_size: int) -> bytes:
    matrix = _matrix(uri)
    match format:
        case QrFormat.PNG:
            return _png(matrix, module_size)
        case QrFormat.SVG:
            return _svg(matrix, module_size).encode()
        case QrFormat.TEXT:
            return _text(matrix).encode()


def _matrix(uri: str) -> list[list[bool]]:
    """Rows of modules, dark ones True, with the quiet zone around them (ISO/IEC 18004)."""
    import qrcode

    code: Any = qrcode.QRCode(error_correction=qrcode.ERROR_CORRECT_M, border=_BORDER)
    code.add_data(uri)
    code.make()
    return [[bool(module) for module in row] for row in code.get_matrix()]


def _png(matrix: list[list[bool]], module_size: int) -> bytes:
    from PIL import Image

    side = len(matrix)
    pixels = bytes(0 if dark else 255 for row in matrix for dark in row)
    image = Image.frombytes("L", (side, side), pixels).convert("1")
    written = io.BytesIO()
    image.resize((side * module_size, side * module_size), Image.Resampling.NEAREST).save(written, "PNG")
    return written.getvalue()


def _svg(matrix: list[list[bool]], module_size: int) -> str:
    side = len(matrix)
    dark = "".join(
        f"M{x} {y}h1v1h-1z" for y, row in enumerate(matrix) for x, is_dark in enumerate(row) if is_dark
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{side * module_size}" height="{side * module_size}"'
        f' viewBox="0 0 {side} {side}" shape-rendering="crispEdges">'
        f'<path fill="#fff" d="M0 0h{side}v{side}H0z"/><path d="{dark}"/></svg>'
    )


def _text(matrix: list[list[bool]]) -> str:
    """Two rows a line; below an odd last one there is light."""
    light = [False] * len(matrix)
    pairs = zip(matrix[::2], [*matrix[1::2], light], strict=False)
    return "".join(
        "".join(_HALF_BLOCKS[pair] for pair in zip(upper, lower, strict=True)) + "\n"
        for upper, lower in pairs
    )
