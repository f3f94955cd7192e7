"""The inbox of the web authenticator: streams that die silently, hidden tabs, two tabs, odd questions."""

import pytest

from tests.gateway.test_browser import open_streams
from tests.gateway.test_sse import until_open
from tests.harness import Service
from tests.web.conftest import engines
from tests.web.core.apps import made, registered, until
from tests.web.engines import Browser, Tab
from tests.web.serving import Origin

pytestmark = pytest.mark.slow

# An inbox whose service is the test's: each stream that it opens gets the next of `streams`.
_FALSE = """
const {Inbox} = await load('/app/core/inbox.js');
const {toBase64, utf8} = await load('/app/core/bytes.js');
const states = [], opened = [];
const silent = new ReadableStream({});
const said = (...blocks) => new ReadableStream({
  start(controller) { for (const block of blocks) controller.enqueue(utf8(block)); },
});
const message = (revision, approvals = []) => 'data: ' + JSON.stringify({approvals, sitesRevision: '1',
  devicesRevision: '1', activityRevision: String(revision), serverTime: '2026-11-24T12:00:00Z'}) + '\\n\\n';
const device = {
  vault: {name: args[0]}, deviceId: 'dev_1', state: 'active', can: () => true, subscribe: () => () => {},
};
const api = {
  heard: () => {}, sites: async () => [{siteId: 'sit_1'}], listSites: async () => [{siteId: 'sit_1'}],
  watchInbox: async signal => {
    opened.push(Math.round(performance.now()));
    const body = streams[Math.min(opened.length, streams.length) - 1];
    if (body instanceof Error) throw body;
    return new Response(body);
  },
};
const page = new EventTarget();
page.visibilityState = 'visible';
const seen = state => { page.visibilityState = state; page.dispatchEvent(new Event('visibilitychange')); };
const inbox = new Inbox({api, device, page, silence: 300});
inbox.subscribe(state => states.push(state));
const until = good => new Promise(done => inbox.subscribe(state => good(state) && done(state)));
"""


@engines()
async def test_a_stream_that_falls_silent_is_opened_anew(tab: Tab) -> None:
    told = await tab.run(
        "let streams;"
        + _FALSE
        + """
        streams = [silent, said(': \\n\\n', message(1)), said(message(2))];
        inbox.start();
        await until(state => state.revisions.activity === '2');
        inbox.stop();
        return [opened.length, states.map(each => each.connection), opened[1] - opened[0]];
        """,
        "silent",
    )
    assert told[0] == 3
    # It was dead for its silence, and then for a moment that keeps phones from coming back all at once.
    assert told[1] == [
        "off",
        "connecting",
        "waiting",
        "connecting",
        "open",
        "waiting",
        "connecting",
        "open",
        "off",
    ]
    assert told[2] >= 300


@engines()
async def test_the_stream_ends_where_nobody_looks_and_is_opened_at_once_on_return(tab: Tab) -> None:
    told = await tab.run(
        "let streams;"
        + _FALSE
        + """
        let ended = 0;
        const held = () => new ReadableStream({
          start(controller) { controller.enqueue(utf8(message(1))); }, cancel() { ended += 1; },
        });
        streams = [held(), held(), new TypeError('off'), held()];
        inbox.silence = 60000;
        inbox.start();
        await until(state => state.connection === 'open');
        seen('hidden');
        await until(state => state.connection === 'off');
        await new Promise(done => setTimeout(done, 50));
        const hidden = opened.length;
        seen('visible');
        await until(state => state.connection === 'open');
        seen('hidden');
        seen('visible');
        // What would be tried later is tried now where somebody asks.
        const waiting = await until(state => state.connection === 'waiting');
        inbox.again();
        await until(state => state.connection === 'open');
        inbox.stop();
        return [hidden, opened.length, waiting.retryTime > Date.now() - 60000, states.at(-1).connection];
        """,
        "hidden",
    )
    assert told == [1, 4, True, "off"]


@engines()
async def test_a_question_that_is_not_in_its_form_or_of_no_site_is_refused(tab: Tab) -> None:
    told = await tab.run(
        "let streams;"
        + _FALSE
        + """
        const form = (id, site) => '{"v":1,"approval_id":"' + id + '","authy_id":"1","site_id":"' + site +
          '","site":"S","origin":"https://s.example","message":"Log in?","details":[],"match_digits":6,' +
          '"user_verification":false,"created":1,"expires":2,"nonce":"abcdefghijklmnopqrstu_"}';
        const asked = (approvalId, siteId, text) => ({approvalId, siteId, question: toBase64(utf8(text))});
        streams = [said(message(1, [
          asked('apr_1', 'sit_1', form('apr_1', 'sit_1')),
          asked('apr_2', 'sit_1', form('apr_9', 'sit_1')),
          asked('apr_3', 'sit_1', form('apr_3', 'sit_1') + ' '),
          asked('apr_4', 'sit_2', form('apr_4', 'sit_2')),
        ]))];
        let listed = 0;
        api.listSites = async () => { listed += 1; return [{siteId: 'sit_1'}]; };
        inbox.silence = 60000;
        inbox.start();
        const state = await until(state => state.questions.length);
        inbox.stop();
        return [state.questions.map(each => each.approvalId), state.refused, listed];
        """,
        "odd",
    )
    assert told == [["apr_1"], ["apr_2", "apr_3", "apr_4"], 1]


@engines()
async def test_services_that_stop_one_after_the_other_are_not_asked_without_end(tab: Tab) -> None:
    told = await tab.run(
        "let streams;"
        + _FALSE
        + """
        const reason = 'ERROR_REASON_DRAINING';
        const info = {'@type': 'x/google.rpc.ErrorInfo', domain: 'authy_grpc', reason};
        const stops = 'event: error\\ndata: ' + JSON.stringify({details: [info]}) + '\\n\\n';
        streams = [said(message(1), stops), said(message(2), stops), said(message(3))];
        inbox.silence = 60000;
        inbox.start();
        await until(state => state.revisions.activity === '3');
        inbox.stop();
        return states.map(each => each.connection);
        """,
        "stops",
    )
    # The first has another beside it, which is asked at once.
    again = ["connecting", "open"]
    assert told == ["off", *again, *again, "waiting", *again, "off"]


@engines("chromium", "webkit")
async def test_two_tabs_hold_one_stream(window: Browser, service: Service, gateway: Origin) -> None:
    async with window.tab(gateway.page) as first:
        await made(first)
        await registered(first, service)
        async with window.tab(gateway.page) as second:
            await made(second)
            for tab in (first, second):
                await tab.run("app.inbox.start()")
            states = [await until(tab, "state => state.connection === 'open'") for tab in (first, second)]
            assert sorted(state["leader"] for state in states) == [False, True]
            assert open_streams(service) == 1
            leader, other = (first, second) if states[0]["leader"] else (second, first)
            await other.run("window.told = []; app.inbox.heard(what => told.push(what))")
            await leader.run("app.inbox.tell({settings: 1})")
            await leader.run("app.inbox.stop()")
            await until(other, "state => state.leader && state.connection === 'open'")
            await until_open(service, 1)
            assert await other.run("return told") == [{"settings": 1}]
            await leader.run("app.inbox.start()")
            await until(leader, "state => state.connection === 'open'")
            assert (await leader.run("return app.inbox.state.leader")) is False
