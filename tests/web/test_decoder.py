"""The QR decoder's frame in each engine: it reads codes, and sees no storage, no network and no page."""

import base64
import io
from collections.abc import AsyncIterator

import httpx
import pytest
import qrcode
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway import web
from tests.web import serving
from tests.web.conftest import engines
from tests.web.engines import Tab

LINK = "https://auth.example.com/app/#/e/AAAAAAAAAAAAAAAAAAAAAA"
# Draws a picture from its bytes, and hands its pixels to the decoder.
DECODE = """
const [picture] = args;
const {Decoder} = await load('/app/part/decoder.js');
const bytes = Uint8Array.from(atob(picture), each => each.charCodeAt(0));
const image = await createImageBitmap(new Blob([bytes], {type: 'image/png'}));
const canvas = document.createElement('canvas');
Object.assign(canvas, {width: image.width, height: image.height});
const context = canvas.getContext('2d');
context.drawImage(image, 0, 0);
window.decoder ??= new Decoder();
return await window.decoder.decode(context.getImageData(0, 0, image.width, image.height));
"""


def picture(text: str) -> str:
    """A QR code as PNG, in base64."""
    kept = io.BytesIO()
    qrcode.make(text).save(kept)
    return base64.b64encode(kept.getvalue()).decode()


# Draws a code, and decodes the drawing.
DRAW = """
const [text] = args;
const {Decoder} = await load('/app/part/decoder.js');
window.decoder ??= new Decoder();
const rows = (await window.decoder.draw(text)).split('\\n');
const side = rows.length * 4;
const image = new ImageData(side, side);
for (let at = 0; at < side * side; at++) {
  const dark = rows[Math.floor(at / side / 4)][Math.floor((at % side) / 4)] === '1';
  image.data.set(dark ? [0, 0, 0, 255] : [255, 255, 255, 255], at * 4);
}
const long = await window.decoder.draw('x'.repeat(4000)).catch(error => error.constructor.name);
return [await window.decoder.decode(image), long];
"""

# Runs in a frame with the decoder's headers, and tells what it could do.
PROBE = """
const tried = {};
const attempt = async (name, work) => {
  try { tried[name] = String(await work()); } catch (error) { tried[name] = 'refused'; }
};
await attempt('origin', () => self.origin);
await attempt('indexedDB', () => new Promise((done, fail) => {
  const opening = indexedDB.open('authenticator');
  opening.onsuccess = () => done('open');
  opening.onerror = () => fail(opening.error);
}));
await attempt('caches', async () => { await caches.keys(); return 'open'; });
await attempt('localStorage', () => localStorage.length);
await attempt('fetch', async () => (await fetch('/app/scan/box.js')).status);
await attempt('image', () => new Promise((done, fail) => {
  const image = new Image();
  image.onload = () => done('loaded');
  image.onerror = fail;
  image.src = '/app/icons/icon.svg';
}));
await attempt('page', () => parent.document.title);
await attempt('eval', () => (0, eval)('1'));
await attempt('markup', () => { document.body.innerHTML = '<p>x'; return 'set'; });
await attempt('worker', () => { new Worker('/app/scan/box.js'); return 'made'; });
await attempt('control', () => 1 + 1);
parent.postMessage(tried, '*');
"""
ASK_PROBE = """
const frame = document.createElement('iframe');
frame.src = '/app/scan/probe.html';
const told = new Promise(done => addEventListener('message', ({data, source}) => {
  if (source === frame.contentWindow) done(data);
}));
document.body.append(frame);
return await told;
"""
LIES = """
const {Decoder} = await load('/app/part/decoder.js');
const decoder = new Decoder();
const frame = document.querySelector('iframe');
// Another window's word is not heard, nor a second word of the frame.
postMessage({waiting: true}, '*');
const image = new ImageData(10, 10);
const nothing = await decoder.decode(image);
decoder.end();
return {nothing, frames: document.querySelectorAll('iframe').length, sandbox: frame.sandbox.value};
"""


@pytest.fixture
async def origin() -> AsyncIterator[serving.Origin]:
    """The files as the gateway serves them, and a frame that tells what it may do."""
    made = serving.Origin()
    files = Starlette(routes=web.pages(""))

    async def probe(request: Request) -> Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(files), base_url=made.url) as client:
            headers = dict((await client.get("/app/scan/frame.html")).headers)
        for name in ("content-length", "content-encoding", "etag", "content-type"):
            headers.pop(name, None)
        if request.url.path.endswith(".js"):
            return Response(PROBE, media_type="text/javascript", headers=headers)
        page = '<!doctype html><body><script type="module" src="probe.js"></script>'
        return Response(page, media_type="text/html", headers=headers)

    probes = [Route("/app/scan/probe.html", probe), Route("/app/scan/probe.js", probe)]
    async with serving.served(Starlette(routes=[*probes, *web.pages(""), *made.routes()])) as url:
        made.url = url
        yield made


@engines()
async def test_a_code_is_read_and_what_is_none_is_not(tab: Tab) -> None:
    assert await tab.run(DECODE, picture(LINK)) == LINK
    assert await tab.run(DECODE, picture("x" * 2000)) == "x" * 2000
    lied = await tab.run(LIES)
    assert lied == {"nothing": "", "frames": 1, "sandbox": "allow-scripts"}


@engines()
async def test_a_code_is_drawn_as_it_is_read_and_what_does_not_fit_is_not(tab: Tab) -> None:
    text = "otpauth://totp/B%C3%BCro:octo?secret=JBSWY3DPEHPK3PXP&issuer=B%C3%BCro"
    assert await tab.run(DRAW, text) == [text, "DecoderError"]


@engines()
async def test_the_frame_sees_no_storage_no_network_and_no_page(tab: Tab) -> None:
    told = await tab.run(ASK_PROBE)
    assert told.pop("control") == "2"
    assert told.pop("origin") == "null"
    assert set(told.values()) == {"refused"}, told
