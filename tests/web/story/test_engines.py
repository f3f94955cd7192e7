"""The story in WebKit and Firefox, by the image road: a page with a QR code is photographed, and read."""

import asyncio
import base64
import io
from collections.abc import AsyncIterator
from typing import Any

import pytest
import zxingcpp
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from authy_grpc.domain import receipts
from authy_grpc.v1.approval_pb2 import ApprovalState, CreateApprovalRequest, GetApprovalRequest
from authy_grpc.v1.enrollment_pb2 import (
    QR_CODE_FORMAT_PNG,
    ConfirmEnrollmentRequest,
    CreateEnrollmentRequest,
)
from tests.examples.shop import MovingClock
from tests.harness import Service
from tests.web import serving
from tests.web.conftest import engines
from tests.web.engines import Browser, Tab
from tests.web.story.acting import before
from tests.web.test_setting_up import on, set_up

pytestmark = pytest.mark.slow
PATIENCE = 30
_PAGE = """<!doctype html><html lang="en"><title>A site</title><h1>Scan this</h1><img src="/qr.png" alt="">"""
# Gives a file to the scanner, as a person who chooses one does.
_CHOOSE = """
const bytes = Uint8Array.from(atob(args[0]), each => each.charCodeAt(0));
const chosen = new DataTransfer();
chosen.items.add(new File([bytes], 'screen.png', {type: 'image/png'}));
const input = document.querySelector('input[type=file]');
input.files = chosen.files;
input.dispatchEvent(new Event('change'));
return true;
"""


@pytest.fixture
def clock() -> MovingClock:
    return MovingClock()


@pytest.fixture
async def installed(sqlite_url: str, clock: MovingClock, random: Any) -> AsyncIterator[tuple[Service, str]]:
    """A service, and the origin of its gateway."""
    service = Service.on(sqlite_url, clock, random)
    async with before(service) as origin:
        yield service, origin


async def photographed(window: Browser, image: bytes) -> bytes:
    """A picture of a site's page with a QR code."""

    async def answer(request: Request) -> Response:
        png = Response(image, media_type="image/png")
        return png if request.url.path == "/qr.png" else HTMLResponse(_PAGE)

    app = Starlette(routes=[Route("/", answer), Route("/qr.png", answer)])
    async with serving.served(app) as site, window.tab(site) as tab:
        await tab.run("await document.querySelector('img').decode(); return true")
        # WebKit tells of a page before it has painted it.
        async with asyncio.timeout(PATIENCE):
            while not _shows_a_code(shot := await tab.picture()):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        return shot


def _shows_a_code(shot: bytes) -> bool:
    with Image.open(io.BytesIO(shot)) as image:
        return bool(zxingcpp.read_barcodes(image.convert("L")))


async def once(tab: Tab, source: str) -> Any:
    """What JavaScript answers, as soon as that is something."""
    async with asyncio.timeout(PATIENCE):
        while not (told := await tab.run(source)):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    return told


@engines("webkit", "firefox")
async def test_the_story_by_an_image(window: Browser, installed: tuple[Service, str]) -> None:
    service, origin = installed
    site = await service.site("Books", require_code=True)
    asked = CreateEnrollmentRequest(custom_user_id="ada")
    asked.qr.format = QR_CODE_FORMAT_PNG
    made = await site.client.enrollments.CreateEnrollment(asked)
    shot = await photographed(window, made.qr.image)
    async with window.tab() as phone:
        await set_up(phone, service, serving.Origin(origin))
        await phone.press(".button.main")
        await on(phone, "Ready")
        await phone.run("location.hash = '#/scan'; return true")
        await on(phone, "Scan")
        await phone.run(_CHOOSE, base64.b64encode(shot).decode())
        await on(phone, "Add this site?")
        await once(phone, "return document.querySelector('.actions .button.main')?.disabled === false")
        await phone.press(".actions .button.main")
        await on(phone, "Finish on books.example")
        code = await once(phone, "return document.querySelector('.check').textContent.replace(/\\D/g, '')")
        confirm = ConfirmEnrollmentRequest(enrollment_id=made.enrollment.enrollment_id, code=code)
        enrolled = (await site.client.enrollments.ConfirmEnrollment(confirm)).enrollment
        await on(phone, "Added")
        await phone.press(".actions .button.main")
        await on(phone, "Codes")
        question = CreateApprovalRequest(authy_id=enrolled.authy_id, message="Log in?", match_digits=6)
        approval = (await site.client.approvals.CreateApproval(question)).approval
        await once(phone, "return document.querySelector('a[href^=\"#/ask/\"]') !== null")
        await phone.press('a[href^="#/ask/"]')
        await on(phone, "Books asks")
        await once(phone, "return document.querySelector('.key')?.disabled === false")
        for digit in approval.match_number:
            await phone.press(f".keys .key:nth-child({11 if digit == '0' else digit})")
        await phone.press(".keys .key.go")
        await on(phone, "Approved")
        assert await phone.run("return window.faults") == []
        # The control.
        await phone.run("try { document.body.innerHTML = '<i>x</i>' } catch {}")
        assert await once(phone, "return window.faults.length") > 0
    found = await site.client.approvals.GetApproval(GetApprovalRequest(approval_id=approval.approval_id))
    assert found.approval.state == ApprovalState.APPROVAL_STATE_APPROVED
    assert receipts.read(found.approval.receipt).receipt.match_number == approval.match_number
