"""QR codes say what they should, in each format, and are drawn a bounded number at once."""

import asyncio
import io
import re
from collections.abc import AsyncIterator

import pytest
from PIL import Image

from authy_grpc.domain.errors import RateLimited
from authy_grpc.phone.scan import read_qr
from authy_grpc.service.qr import QrCodes, QrFormat

URI = "https://authy.example/app/#/e/AbCdEfGhIjKlMnOpQr-_12"
LONGEST = "otpauth://totp/" + "%F0%9F%92%A9" * 180 + "?secret=" + "A" * 32


@pytest.fixture
async def qr_codes() -> AsyncIterator[QrCodes]:
    made = QrCodes()
    yield made
    made.close()


def _picture(rows: list[list[bool]], scale: int = 4) -> bytes:
    """A PNG of modules, dark ones True."""
    pixels = bytes(0 if dark else 255 for row in rows for dark in row)
    image = Image.frombytes("L", (len(rows[0]), len(rows)), pixels)
    written = io.BytesIO()
    image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST).save(written, "PNG")
    return written.getvalue()


@pytest.mark.parametrize("uri", [URI, LONGEST], ids=["token", "longest"])
@pytest.mark.parametrize("module_size", [1, 2, 8, 40])
async def test_a_png_says_the_uri(qr_codes: QrCodes, uri: str, module_size: int) -> None:
    drawn = await qr_codes.draw(uri, QrFormat.PNG, module_size)
    assert (drawn.uri, drawn.media_type) == (uri, "image/png")
    assert read_qr(drawn.image) == uri
    with Image.open(io.BytesIO(drawn.image)) as image:
        assert image.width == image.height
        assert image.width % module_size == 0


async def test_a_png_has_8_pixels_a_module_where_unset(qr_codes: QrCodes) -> None:
    unset, eight = [await qr_codes.draw(URI, QrFormat.PNG, size) for size in (0, 8)]
    assert unset == eight


async def test_a_text_says_the_uri_on_a_dark_terminal(qr_codes: QrCodes) -> None:
    drawn = await qr_codes.draw(URI, QrFormat.TEXT, 0)
    assert drawn.media_type == "text/plain"
    rows: list[list[bool]] = []
    for line in drawn.image.decode().splitlines():
        rows.append([each in " ▄" for each in line])
        rows.append([each in " ▀" for each in line])
    assert read_qr(_picture(rows)) == URI


async def test_an_svg_says_the_uri(qr_codes: QrCodes) -> None:
    drawn = await qr_codes.draw(URI, QrFormat.SVG, 3)
    assert drawn.media_type == "image/svg+xml"
    svg = drawn.image.decode()
    (width, side) = re.findall(r'width="(\d+)".*viewBox="0 0 (\d+)', svg)[0]
    assert int(width) == 3 * int(side)
    rows = [[False] * int(side) for _ in range(int(side))]
    for x, y in re.findall(r"M(\d+) (\d+)h1v1h-1z", svg):
        rows[int(y)][int(x)] = True
    assert read_qr(_picture(rows)) == URI


async def test_nothing_is_drawn_where_no_format_is_named(qr_codes: QrCodes) -> None:
    drawn = await qr_codes.draw(URI, None, 8)
    assert (drawn.uri, drawn.image, drawn.media_type) == (URI, b"", "")
    assert URI not in repr(drawn)


async def test_callers_take_turns(qr_codes: QrCodes) -> None:
    drawn: list[str] = []

    async def draw(by: str) -> None:
        await qr_codes.draw(URI, QrFormat.TEXT, 0, by=by)
        drawn.append(by)

    loud = [asyncio.create_task(draw("loud")) for _ in range(101)]
    await asyncio.sleep(0)
    await draw("quiet")
    assert len(drawn) < 5
    await asyncio.gather(*loud)


async def test_only_so_many_wait() -> None:
    qr_codes = QrCodes(threads=1, waiting=2)
    answers = await asyncio.gather(
        *[qr_codes.draw(URI, QrFormat.TEXT, 0) for _ in range(5)], return_exceptions=True
    )
    assert [isinstance(each, RateLimited) for each in answers] == [False] * 3 + [True] * 2
    assert (await qr_codes.draw(URI, QrFormat.TEXT, 0)).image
    qr_codes.close()
