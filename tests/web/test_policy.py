"""Attacks on the policy of the web authenticator's pages, in each engine: all blocked, each seen."""

from gateway import web
from tests.web import serving
from tests.web.conftest import engines
from tests.web.engines import Browser

# Loaded as a module: what a driver runs may do more than a page's script.
ATTACK = "return (await load('/tests/attacks.js')).default(args[0])"
POLICY = "return (await fetch(location.href)).headers.get('content-security-policy')"
SEEN = {
    "base-uri",
    "connect-src",
    "form-action",
    "frame-src",
    "img-src",
    "require-trusted-types-for",
    "style-src-attr",
    "style-src-elem",
    "trusted-types",
}


@engines()
async def test_every_attack_is_blocked_and_seen(
    window: Browser, gateway: serving.Origin, origin: serving.Origin
) -> None:
    async with window.tab(gateway.page) as tab:
        assert await tab.run(POLICY) == web.APP_HEADERS["content-security-policy"]
        told = await tab.run(ATTACK, origin.url)
    assert told["through"] == []
    assert told["mine"] is True and told["count"] >= 12
    assert SEEN - set(told["seen"]) == set()
