"""How the demo is told: what fails ends it, and the QR code on the terminal can be read by a camera."""

import io

import pytest
import qrcode
from PIL import Image
from rich.console import Console

from authy_grpc.cli.demo.report import Report, Unexpected
from authy_grpc.phone.scan import read_qr

TEXT = "http://127.0.0.1:8080/app/#/e/AAAAAAAAAAAAAAAAAAAAAA"


def test_a_step_that_is_not_as_it_should_be_ends_the_demo() -> None:
    report = Report(Console(quiet=True))

    with report.step("first"):
        report.check("one is one", True)
    with pytest.raises(Unexpected, match="expected: one is two; found: 1"), report.step("second"):
        report.check("one is two", False, 1)

    told = report.as_json()
    assert told["ok"] is False
    assert told["failure"] == "one is two"
    assert [step["ok"] for step in told["steps"]] == [True, False]
    assert told["steps"][0]["checks"] == ["one is one"]


def test_what_is_not_told_is_checked_all_the_same() -> None:
    out = io.StringIO()
    report = Report(Console(file=out))
    with report.step("only"), report.quietly():
        report.check("nobody reads this", True)
    assert "nobody reads this" not in out.getvalue()
    assert report.as_json()["steps"][0]["checks"] == ["nobody reads this"]


@pytest.mark.parametrize("module_size", [1, 3, 8])
def test_the_qr_code_on_the_terminal_is_the_one_of_the_png(module_size: int) -> None:
    drawn, png = io.StringIO(), io.BytesIO()
    code = qrcode.QRCode(box_size=module_size)
    code.add_data(TEXT)
    code.make_image().save(png)

    Report(Console(file=drawn, width=100)).qr(png.getvalue())

    assert read_qr(_photographed(drawn.getvalue())) == TEXT


def _photographed(drawn: str) -> bytes:
    """A picture of half blocks, each of two modules, dark on light."""
    lines = [line[4:] for line in drawn.splitlines()]
    picture = Image.new("1", (max(map(len, lines)), 2 * len(lines)), 1)
    for y, line in enumerate(lines):
        for x, block in enumerate(line):
            picture.putpixel((x, 2 * y), block not in "▀█")
            picture.putpixel((x, 2 * y + 1), block not in "▄█")
    photo = io.BytesIO()
    picture.resize((picture.width * 4, picture.height * 4)).save(photo, "PNG")
    return photo.getvalue()
