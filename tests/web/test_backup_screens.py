"""Accounts of other services, by hand: added with a password, backed up, unlocked, imported elsewhere."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest
import pytest_asyncio

from tests.web.staging import Screen, Stage, stage, until

if TYPE_CHECKING:
    from playwright.async_api import Page

pytestmark = [pytest.mark.web, pytest.mark.asyncio(loop_scope="module")]
PASSWORD = "gravel opera mittens lagoon"
KEY = "JBSW Y3DP ehpk-3pxp"
SECRET = "JBSWY3DPEHPK3PXP"
# The real modules below the screens, and a router that shows them.
REAL = """async () => {
  const [{open}, {Accounts}, {Backup}] = await Promise.all(
    ['vault', 'accounts', 'backup'].map(each => import(`/app/core/${each}.js`)));
  app.vault = open('backup-screens');
  app.accounts = new Accounts(app.vault);
  app.backup = new Backup(app.vault, app.accounts);
  let at = '';
  app.router.go = async (path) => {
    at = path;
    const [, view, id] = path.split('/');
    const home = Object.assign(document.createElement('h1'), {textContent: 'At home'});
    const made = view === 'codes' ? home : await (await import(`/app/view/${view}.js`)).default(app, {id});
    document.querySelector('main').replaceChildren(made);
  };
  app.router.update = () => app.router.go(at);
}"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def staged() -> AsyncIterator[Stage]:
    async with stage() as running:
        yield running


async def go(page: "Page", path: str) -> None:
    """Show a screen."""
    await page.evaluate("path => app.router.go(path)", path)


async def begin(staged: Stage, page: "Page") -> None:
    """A browser where nothing is kept yet."""
    await staged.show(page, Screen("", "removed"))
    await page.evaluate(REAL)


async def accounts(page: "Page") -> list[dict[str, Any]]:
    """The accounts in the vault."""
    found: list[dict[str, Any]] = await page.evaluate("app.accounts.list()")
    return found


async def at_home(page: "Page", count: int) -> None:
    """It leads to the codes, and so many are kept."""
    await page.get_by_role("heading", name="At home").wait_for()
    assert len(await accounts(page)) == count


async def add(page: "Page", issuer: str, key: str = KEY) -> None:
    """Type an account in, as far as its code."""
    await go(page, "/account")
    await page.get_by_label("Site or service").fill(issuer)
    await page.get_by_label("Key", exact=True).fill(key)
    await page.get_by_role("button", name="Go on").click()
    await page.get_by_role("button", name="Add", exact=True).click()


async def test_a_backup_from_its_password_to_another_browser(staged: Stage, tmp_path: Path) -> None:
    async with staged.page() as page:
        await begin(staged, page)
        await add(page, "GitHub")
        # Before the first one the password is asked for: it is kept twice the same, or not at all.
        await page.get_by_label("New password").fill(PASSWORD)
        await page.get_by_label("The same again").fill("another")
        await page.get_by_role("button", name="Set it, and add").click()
        await page.get_by_text("The two are not the same.").wait_for()
        assert await accounts(page) == []
        await page.get_by_label("The same again").fill(PASSWORD)
        await page.get_by_role("button", name="Set it, and add").click()
        await at_home(page, 1)
        # The next one needs none, and the same one is not added twice.
        await add(page, "Old VPN", "GEZDGNBVGY3TQOJQ")
        await at_home(page, 2)
        await add(page, "GitHub")
        await page.get_by_role("heading", name="You have this already").wait_for()
        assert [each["sealed"] for each in await accounts(page)] == [True, True]
        file = await backed_up(page, tmp_path)
        await unlocked(page)
        await removed(page)
    async with staged.page() as page:
        await begin(staged, page)
        await imported(page, file)


async def backed_up(page: "Page", folder: Path) -> Path:
    """Make the file: a wrong password makes none."""
    await go(page, "/backup")
    await page.get_by_label("Backup password").fill("wrong")
    await page.get_by_role("button", name="Make the file").click()
    await page.get_by_text("That is not the password.").wait_for()
    await page.get_by_label("Backup password").fill(PASSWORD)
    async with page.expect_download() as coming:
        await page.get_by_role("button", name="Make the file").click()
    await page.get_by_text("The file was read back").wait_for()
    kept = folder / "backup.json"
    await (await coming.value).save_as(kept)
    text = kept.read_text()
    assert [each["issuer"] for each in json.loads(text)["accounts"]] == ["GitHub", "Old VPN"]
    assert SECRET not in text
    return kept


async def unlocked(page: "Page") -> None:
    """As text it is what other apps read; as codes each is there."""
    await go(page, "/export")
    await page.get_by_label("Backup password").fill(PASSWORD)
    await page.get_by_role("button", name="Show as text").click()
    text = await page.locator("pre").inner_text()
    found = [urlsplit(line) for line in text.splitlines()]
    assert [(each.scheme, each.netloc, parse_qs(each.query)["issuer"]) for each in found] == [
        ("otpauth", "totp", ["GitHub"]),
        ("otpauth", "totp", ["Old VPN"]),
    ]
    assert parse_qs(found[0].query)["secret"] == [SECRET]
    await go(page, "/export")
    await page.get_by_label("Backup password").fill(PASSWORD)
    await page.get_by_role("button", name="Show as QR codes").click()
    await page.get_by_role("img", name="GitHub").wait_for()
    await page.get_by_role("button", name="Next").click()
    await page.get_by_role("img", name="Old VPN").wait_for()


async def removed(page: "Page") -> None:
    """Removing asks by name, and comes back for 30 days."""
    first = (await accounts(page))[0]["id"]
    await go(page, f"/account/{first}")
    await page.get_by_role("button", name="Remove this account").click()
    await (
        page.get_by_role("heading", name="Remove \u2068GitHub\u2069?")
        .or_(page.get_by_text("Remove GitHub?"))
        .wait_for()
    )
    assert len(await accounts(page)) == 2
    await page.get_by_role("button", name="Remove it").click()
    await at_home(page, 1)
    await go(page, "/removed")
    await page.get_by_role("button", name="Restore").click()
    await until(page, "app.accounts.list().then(list => list.length === 2)")


async def imported(page: "Page", file: Path) -> None:
    """Another browser has them after the file and its password; what is no backup is said so."""
    await go(page, "/restore")
    await page.set_input_files("input[type=file]", {"name": "x.json", "mimeType": "", "buffer": b"{}"})
    await page.get_by_role("button", name="Import").click()
    await page.get_by_text("This file is no backup").wait_for()
    # More than there is room for would keep the page at work for minutes.
    long = b"otpauth:\n" * 1001
    await page.set_input_files("input[type=file]", {"name": "x.txt", "mimeType": "", "buffer": long})
    await page.get_by_role("button", name="Import").click()
    await page.get_by_text("1,000 accounts at most").wait_for()
    await page.set_input_files("input[type=file]", file)
    await page.get_by_label("Password of the file").fill(PASSWORD)
    await page.get_by_role("button", name="Import").click()
    await page.get_by_role("heading", name="2 of 2 added").wait_for()
    assert [(each["issuer"], each["sealed"]) for each in await accounts(page)] == [
        ("GitHub", True),
        ("Old VPN", True),
    ]


async def test_without_a_password_an_account_is_added_and_cannot_be_exported(staged: Stage) -> None:
    async with staged.page() as page:
        await begin(staged, page)
        await add(page, "GitHub")
        await page.get_by_role("button", name="Go on without a backup").click()
        await at_home(page, 1)
        [kept] = await accounts(page)
        assert kept["sealed"] is False
        await go(page, f"/account/{kept['id']}")
        await page.get_by_text("It cannot be exported").wait_for()


async def test_the_next_code_of_one_that_counts_is_shown_where_it_is_asked_for(staged: Stage) -> None:
    # As long as pyotp wants it.
    secret = SECRET * 2
    counted = pyotp.HOTP(secret)
    async with staged.page() as page:
        await begin(staged, page)
        await page.evaluate(
            """async uri => app.accounts.add((await import('/app/core/otpauth.js')).parseOtpauth(uri))""",
            f"otpauth://hotp/VPN?secret={secret}&counter=41",
        )
        # The screen itself, which stands for itself elsewhere here.
        await page.evaluate(
            """async () => document.querySelector('main').replaceChildren(
              await (await import('/app/view/codes.js')).default(app))"""
        )
        code = page.locator("code-card .code")
        for counter in (41, 42, 43):
            await code.filter(has_text=f"{counted.at(counter)[:3]}\u00a0{counted.at(counter)[3:]}").wait_for()
            await page.get_by_role("button", name="Next code").click()
        # It does not run out.
        assert not await page.locator("code-card time-left").is_visible()
