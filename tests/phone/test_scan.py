"""The camera of a phone: images of QR codes, and text of other origins."""

import io

import pytest
import qrcode
from PIL import Image

from authy_grpc.phone import PhoneError
from authy_grpc.phone.scan import read_qr, read_token

ORIGIN = "https://authy.example"
TOKEN = "abcdefghijklmnopqrst_-"
TEXT = f"{ORIGIN}/app/#/e/{TOKEN}"


def draw(text: str) -> Image.Image:
    return qrcode.make(text).get_image().convert("RGB")


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def test_a_png_is_decoded() -> None:
    assert read_qr(png(draw(TEXT))) == TEXT


def test_a_turned_one_and_one_on_a_clear_ground_are_decoded() -> None:
    assert read_qr(png(draw(TEXT).rotate(20, expand=True, fillcolor="white"))) == TEXT
    clear = Image.new("RGBA", draw(TEXT).size, (0, 0, 0, 0))
    clear.paste("black", mask=draw(TEXT).convert("L").point(lambda value: 255 - value))
    assert read_qr(png(clear)) == TEXT


def test_no_code_and_two_codes_are_refused() -> None:
    with pytest.raises(PhoneError, match="no QR code"):
        read_qr(png(Image.new("RGB", (200, 200), "white")))
    one = draw(TEXT)
    both = Image.new("RGB", (2 * one.width, one.height), "white")
    both.paste(one)
    both.paste(draw("https://other.example"), (one.width, 0))
    with pytest.raises(PhoneError, match="2 QR codes"):
        read_qr(png(both))


@pytest.mark.parametrize("data", [b"", b"not an image", png(draw(TEXT))[:100]])
def test_what_is_no_image_is_refused(data: bytes) -> None:
    with pytest.raises(PhoneError, match="not an image"):
        read_qr(data)


@pytest.mark.parametrize("origin", [ORIGIN, f"{ORIGIN}/"])
def test_the_token_is_read(origin: str) -> None:
    assert read_token(TEXT, origin) == TOKEN


@pytest.mark.parametrize(
    "text",
    [
        "",
        TOKEN,
        f"https://other.example/app/#/e/{TOKEN}",
        f"http://authy.example/app/#/e/{TOKEN}",
        f"https://authy.example.evil.example/app/#/e/{TOKEN}",
        f"https://authy.example:444/app/#/e/{TOKEN}",
        f"https://evil@authy.example/app/#/e/{TOKEN}",
        f" {TEXT}",
        f"{TEXT}\n",
        TEXT[:-1],
        f"{TEXT}A",
        f"{TEXT}=",
        f"{TEXT[:-1]}/",
        f"{ORIGIN}/app/#/e/",
        f"otpauth://totp/x?secret={TOKEN}",
    ],
)
def test_text_of_another_origin_or_form_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(PhoneError, match="this is not a QR code") as caught:
        read_token(text, ORIGIN)
    assert TOKEN not in str(caught.value)
