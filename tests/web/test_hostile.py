"""What strangers put into the web authenticator: names of prototypes, files, screens that come too late."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.web.conftest import engines
from tests.web.engines import Tab
from tests.web.staging import Screen, Stage, stage

QUESTION: dict[str, Any] = {
    "approvalId": "ap_1",
    "siteId": "site_1",
    "site": "Books",
    "origin": "https://books.example",
    "message": "Log in?",
    "details": [["__proto__", "constructor"]],
    "matchDigits": 0,
    "userVerification": False,
    "created": 1796045500,
    "expires": 4102444800,
}
SITE = {"siteId": "site_1", "name": "Books", "origin": "https://books.example", "label": ""}
ASKED = {"store": {"questions": [QUESTION]}, "api": {"listSites": [SITE]}}


@pytest.fixture
async def staged() -> AsyncIterator[Stage]:
    async with stage() as running:
        yield running


async def test_a_question_that_was_left_leads_nowhere(staged: Stage) -> None:
    async with staged.page() as page:
        await staged.show(page, Screen("ask", "ask", {"id": "ap_1"}, ASKED))
        went = await page.evaluate(
            """async (leave) => {
              const all = [];
              for (const leaves of [false, true]) {
                const {default: ask} = await import('/app/view/ask.js');
                const answers = [];
                const app = {...window.app, api: {sites: window.app.api.sites,
                  respondApproval: () => new Promise((done) => answers.push(done))}};
                const made = await ask(app, {id: 'ap_1'});
                document.querySelector('main').replaceChildren(made);
                const buttons = [...made.querySelectorAll('button')];
                buttons.find(each => each.textContent.startsWith('Deny')).click();
                if (leaves) made.remove();
                window.app.went.length = 0;
                answers[0]({state: 'APPROVAL_STATE_DENIED', attemptsRemaining: 0});
                await new Promise(done => setTimeout(done));
                all.push([...window.app.went]);
              }
              return all;
            }"""
        )
        assert went == [["/result/ap_1"], []]


async def test_a_key_that_is_held_down_reports_nothing(staged: Stage) -> None:
    async with staged.page() as page:
        await staged.show(page, Screen("ask", "ask", {"id": "ap_1"}, ASKED))
        await page.get_by_role("button", name="It was not me").focus()
        await page.keyboard.press("Enter")
        assert await page.evaluate("document.activeElement.textContent") == "Back"


@pytest.mark.parametrize("name", ["__proto__", "constructor", "toString"])
async def test_names_of_prototypes_are_names(staged: Stage, name: str) -> None:
    async with staged.page() as page:
        given: dict[str, Any] = {"store": {"results": {}}}
        for view in ("result", "ask", "site"):
            await staged.show(page, Screen(view, view, {"id": name}, {**given, "api": {"listSites": []}}))
            assert await page.locator("h1").inner_text()
        said = await page.evaluate(
            """async (reason) => (await import('/app/part/trouble.js'))
              .explain(window.app, {reason, id: 'x1'}).map(each => each.textContent).join('')""",
            name,
        )
        assert "x1" in said


@engines()
async def test_a_screen_that_comes_too_late_has_no_life(tab: Tab) -> None:
    told = await tab.run(
        """
        const {Router} = await load('/app/base/router.js');
        const {living, h} = await load('/app/base/dom.js');
        const ended = [];
        const shows = [];
        const heading = h('h1', null, 'a\\u202eb\\u2066c');
        const show = () => new Promise(done => shows.push(done));
        const router = new Router(document.body.appendChild(h('main')), {'/': 'home'}, show, 'x');
        const screens = ['one', 'inner', 'two'].map(name => {
          const made = living();
          made.onEnd(() => ended.push(name));
          return made;
        });
        screens[0].append(screens[1]);
        screens[2].append(heading);
        const turns = [router.update(), router.update()];
        shows[1](screens[2]);
        await turns[1];
        const {title} = document;
        shows[0](screens[0]);
        await turns[0];
        return [ended, screens[2].isConnected, title];
        """
    )
    # Marks of direction in a name would turn what stands after it.
    assert told == [["one", "inner"], True, "abc \u2013 x"]


@engines()
async def test_a_link_that_was_used_is_none_again(tab: Tab) -> None:
    """The icon on a Home Screen keeps its address, whatever was scanned since."""
    told = await tab.run(
        """
        const {Token} = await load('/app/token.js');
        const kept = new Map([['view.usedToken', 'O'.repeat(22)]]);
        const put = async (_, value, key) => { kept.set(key, value); };
        const vault = {get: async (_, key) => kept.get(key), put};
        const app = {standalone: true, device: {state: 'active', can: () => true}};
        const found = [];
        for (const letter of 'OABABC') {
          found.push(await new Token(vault).take(letter.repeat(22), app));
          await new Promise(done => setTimeout(done));
        }
        return found;
        """
    )
    assert told == ["", "accept", "accept", "", "", "accept"]


@engines()
async def test_what_is_no_text_in_a_backup_is_refused(tab: Tab) -> None:
    told = await tab.run(
        """
        const [{open}, {Accounts, identity}, {Backup}, {makeBackupKey, seal}, {toBase64}] = await Promise.all(
          ['vault', 'accounts', 'backup', 'seal', 'bytes'].map(name => load(`/app/core/${name}.js`)));
        const vault = open('hostile'), accounts = new Accounts(vault), backup = new Backup(vault, accounts);
        const key = await makeBackupKey('p');
        const secret = new Uint8Array(20);
        const text = values => Object.fromEntries(Object.entries(values).map(([name, value]) =>
          [name, ArrayBuffer.isView(value) ? toBase64(value) : value]));
        const listed = [null, 7, {issuer: {toString: 1}}];
        for (const issuer of ['Good', 7, ['a'], {length: 1}, null]) {
          const form = {hash: 'SHA-1', digits: 6, period: 30, counter: 0};
          const said = {type: 'totp', issuer, account: 'a', ...form};
          const id = await identity({...said, secret});
          listed.push({...said, id, sealed: text(await seal(key.point, secret, id)), label: {toString: 1}});
        }
        const head = {format: 'authenticator-backup', version: 1, key: text(key)};
        const file = JSON.stringify({...head, accounts: listed});
        const {results} = await backup.read(file, 'p');
        const kept = (await accounts.list()).map(each => [each.issuer, each.label]);
        return [results.map(each => each.outcome), kept];
        """
    )
    assert told == [[*["refused"] * 3, "added", *["refused"] * 4], [["Good", ""]]]


@engines()
async def test_a_device_that_has_gone_leaves_no_names_of_sites(tab: Tab) -> None:
    told = await tab.run(
        """
        const {open} = await load('/app/core/vault.js');
        const {Device} = await load('/app/core/device.js');
        const vault = open('gone');
        const device = await Device.load(vault);
        await vault.put('logos', new Uint8Array(8), 'logo_of_books');
        await vault.put('settings', ['dev_2'], 'view.acknowledged');
        await vault.put('settings', 'de', 'language');
        await device.forget();
        return [await vault.all('logos'), await vault.all('settings')];
        """
    )
    assert told == [[], ["de"]]


@engines()
async def test_a_backup_whose_key_does_not_open_what_it_seals_is_not_taken_over(tab: Tab) -> None:
    """All that is added later is sealed to it: nothing could be added, or nothing backed up."""
    told = await tab.run(
        """
        const [{open}, {Accounts}, {Backup}, {toBase64}] = await Promise.all(
          ['vault', 'accounts', 'backup', 'bytes'].map(name => load(`/app/core/${name}.js`)));
        const ECDH = {name: 'ECDH', namedCurve: 'P-256'};
        const made = () => crypto.subtle.generateKey(ECDH, true, ['deriveKey']);
        const raw = async pair => new Uint8Array(await crypto.subtle.exportKey('raw', pair.publicKey));
        const [salt, iv, rounds] = [new Uint8Array(16), new Uint8Array(12), 100000];
        const typed = new TextEncoder().encode('p');
        const base = await crypto.subtle.importKey('raw', typed, 'PBKDF2', false, ['deriveKey']);
        const stretch = {name: 'PBKDF2', hash: 'SHA-256', salt, iterations: rounds};
        const AES = {name: 'AES-GCM', length: 256};
        const by = await crypto.subtle.deriveKey(stretch, base, AES, false, ['wrapKey']);
        const pair = await made();
        const found = [];
        for (const point of [new Uint8Array(3), await raw(await made()), await raw(pair)]) {
          const how = {name: 'AES-GCM', iv, additionalData: point};
          const wrapped = new Uint8Array(await crypto.subtle.wrapKey('pkcs8', pair.privateKey, by, how));
          const key = {rounds};
          for (const [name, value] of Object.entries({point, salt, iv, wrapped})) key[name] = toBase64(value);
          const vault = open(`key ${found.length}`), backup = new Backup(vault, new Accounts(vault));
          const file = JSON.stringify({format: 'authenticator-backup', version: 1, key, accounts: []});
          const read = await backup.read(file, 'p').then(() => 'OK', error => error.reason);
          found.push([read, await backup.ready()]);
        }
        return found;
        """
    )
    assert told == [["DAMAGED", False], ["DAMAGED", False], ["OK", True]]


async def test_a_scanned_secret_is_forgotten_on_any_other_screen(staged: Stage) -> None:
    draft = {"type": "totp", "issuer": "A", "account": "a", "secret": [7] * 20}
    form = {"hash": "SHA-1", "digits": 6, "period": 30, "counter": 0}
    given = {"app": {"scanned": {"drafts": [draft | form], "refused": []}}, "backup": {"ready": False}}
    async with staged.page() as page:
        await staged.show(page, Screen("account", "account", given=given))
        # The password that is asked for before the first one stands at the same address.
        await page.evaluate("location.hash = '#/account'")
        await page.get_by_role("button", name="Add", exact=True).click()
        await page.get_by_role("heading", name="A password for your backup").wait_for()
        told = await page.evaluate(
            """async () => {
              app.foreign = async () => {};
              const {view} = await import('/app/routes.js');
              const kept = [];
              for (const name of ['account', 'removed']) {
                await view(app, {name, params: {}});
                kept.push(Boolean(app.scanned));
              }
              return kept;
            }"""
        )
        assert told == [True, False]


async def test_an_answer_that_was_lost_is_told_how_it_ended(staged: Stage) -> None:
    """It counts, although no answer came: nobody else has answered then, and nothing may deny it."""
    async with staged.page() as page:
        told = {}
        for lost in (1, 2):
            await staged.show(page, Screen("ask", "ask", {"id": "ap_1"}, ASKED))
            told[lost] = await page.evaluate(
                """async (lost) => {
                  const calls = [];
                  const api = {sites: app.api.sites, respondApproval: async (asked, ...how) => {
                    calls.push(JSON.stringify(how));
                    if (calls.length <= lost) throw {reason: 'UNREACHABLE'};
                    return {state: 'APPROVAL_STATE_APPROVED'};
                  }};
                  const {default: ask} = await import('/app/view/ask.js');
                  const made = await ask({...app, api}, {id: 'ap_1'});
                  document.querySelector('main').replaceChildren(made);
                  const yes = made.querySelector('.button.main');
                  while (yes.disabled) await new Promise(done => setTimeout(done, 20));
                  yes.click();
                  const said = made.querySelector('[role=alert]');
                  while (!said.textContent) await new Promise(done => setTimeout(done, 20));
                  const denied = !said.textContent.includes('may have been done');
                  const kept = app.went.length;
                  app.store.set({questions: []});
                  while (app.went.length === kept) await new Promise(done => setTimeout(done, 20));
                  const {kind} = app.store.state.results.ap_1;
                  return [denied, calls.length, new Set(calls).size, kind];
                }""",
                lost,
            )
        assert told == {1: [False, 2, 1, "approved"], 2: [False, 2, 1, "unsure"]}


async def test_a_question_that_is_loaded_anew_is_not_over(staged: Stage) -> None:
    """The page comes before the inbox has said what is open."""
    async with staged.page() as page:
        given = {**ASKED, "store": {"heard": False}}
        await staged.show(page, Screen("ask", "ask", {"id": "ap_1"}, given))
        assert await page.locator("h1").inner_text() == "One moment"
        assert await page.evaluate("app.went") == []
        for questions, title in (([QUESTION], "Books asks"), ([], "This question is over")):
            await staged.show(page, Screen("ask", "ask", {"id": "ap_1"}, given))
            await page.evaluate("questions => app.store.set({questions, heard: true})", questions)
            assert await page.evaluate("app.went") == ["update"]
            await page.evaluate(
                """async () => document.querySelector('main').replaceChildren(
                  await (await import('/app/view/ask.js')).default(app, {id: 'ap_1'}))"""
            )
            assert (await page.locator("h1").inner_text()).replace("\u2068", "").startswith(title)


async def test_a_decoder_that_is_stuck_is_replaced(staged: Stage) -> None:
    stuck = (
        "onmessage = ({ports: [port]}) => port?.postMessage({ready: true});"
        "parent.postMessage({waiting: true}, '*')"
    )
    async with staged.page() as page:
        # The second frame gets the real one.
        await page.route(
            "**/scan/box.js",
            lambda route: route.fulfill(
                body=stuck, content_type="text/javascript", headers={"access-control-allow-origin": "*"}
            ),
            times=1,
        )
        told = await page.evaluate(
            """async () => {
              const {Decoder} = await import('/app/part/decoder.js');
              const decoder = new Decoder(1500);
              const text = await decoder.decode(new ImageData(9, 9));
              const found = [text, document.querySelectorAll('iframe').length];
              const drawn = () => decoder.draw('x').catch(() => '');
              while (!await drawn());
              return found;
            }"""
        )
        assert told == ["", 1]
