"""How the web authenticator calls the service: proofs of two tabs, lost answers, clocks, devices put out."""

import pytest

from authy_grpc.v1.approval_pb2 import CreateApprovalRequest
from authy_grpc.v1.enrollment_pb2 import CreateEnrollmentRequest, EnrollmentState, GetEnrollmentRequest
from tests.harness import Service
from tests.web import serving
from tests.web.conftest import engines
from tests.web.core.apps import made, reason, registered, until
from tests.web.engines import Browser
from tests.web.serving import Origin

pytestmark = pytest.mark.slow

# An Api of its own, whose calls are counted and may be lost: `calls` are [path, status, body], `lose` says
# which answers do not come.
_WATCHED = """
const {Api} = await load('/app/core/api.js');
const calls = [];
window.watched = (lose = () => false, more = {}) => new Api({...app, ...more, fetch: async (path, how) => {
  const call = [path, 0, how.body ?? ''];
  calls.push(call);
  const answer = await fetch(path, how);
  call[1] = answer.status;
  if (lose(path, calls.filter(([each]) => each === path).length)) throw new TypeError('lost');
  return answer;
}});
window.calls = calls;
"""


@engines()
async def test_proofs_of_two_tabs_never_collide(window: Browser, service: Service, gateway: Origin) -> None:
    async with window.tab(gateway.page) as first, window.tab(gateway.page) as second:
        await made(first)
        await registered(first, service)
        # A session tells the service's clock, which the other tab then knows.
        await first.run("await app.api.getAccount()")
        assert await made(second) == "active"
        work = """
        window.api = watched();
        window.done = (async () => {
          for (let at = 0; at < 25; at++)
            await Promise.all([1, 2, 3, 4].map(() => api.updateAccount({phoneCodes: true})));
          return calls.map(([, status]) => status);
        })();
        window.done.catch(() => {});
        """
        for tab in (first, second):
            await tab.run(_WATCHED + work)
        for tab in (first, second):
            # The one more is of the session.
            assert await tab.run("return window.done") == [200] * 101
        # The control: a proof that is not later than the last is refused.
        replayed = """
        const last = calls.findLast(([path]) => path.endsWith('/sessions'));
        const headers = {'content-type': 'application/json'};
        return (await fetch(last[0], {method: 'POST', body: last[2], headers})).status;
        """
        assert await second.run(replayed) == 401


@engines()
async def test_a_lost_answer_costs_nothing(window: Browser, service: Service, gateway: Origin) -> None:
    site = await service.site()
    async with window.tab(gateway.page) as tab:
        await made(tab)
        await tab.run(_WATCHED + "app.api = watched((path, times) => times === 1)")
        await tab.run(
            "await app.api.startPhoneVerification({phoneNumber: args[0]}).catch(() => {})", "+15005550006"
        )
        # A number is not texted twice by itself.
        assert await tab.run("return calls.map(([path]) => path)") == ["../v1/account/phoneVerifications"]
        await tab.run("app.api = watched((path, times) => path.includes('devices') && times === 1)")
        service.clock.turn(minutes=2)
        await registered(tab, service)
        bodies = await tab.run(
            "return calls.filter(([path]) => path.endsWith('/devices')).map(call => call[2])"
        )
        assert len(bodies) == 2
        assert bodies[0] == bodies[1]
        assert await tab.run("return app.device.state") == "active"
        asked = await site.client.enrollments.CreateEnrollment(CreateEnrollmentRequest(custom_user_id="ada"))
        token = asked.qr.uri.rpartition("/")[2]
        await tab.run("app.api = watched((path, times) => /accept|respond/.test(path) && times === 1)")
        linked = await tab.run("return app.api.acceptEnrollment(args[0])", token)
        assert (await tab.run("return (await app.vault.all('newKeys')).length")) == 0
        assert (
            await tab.run("return (await app.vault.get('sites', args[0])).key.extractable", linked["siteId"])
            is False
        )
        found = await site.client.enrollments.GetEnrollment(
            GetEnrollmentRequest(enrollment_id=asked.enrollment.enrollment_id)
        )
        assert found.enrollment.state == EnrollmentState.ENROLLMENT_STATE_COMPLETED
        made_ = await site.client.approvals.CreateApproval(
            CreateApprovalRequest(authy_id=found.enrollment.authy_id, message="Log in?", match_digits=6)
        )
        wrong = f"{(int(made_.approval.match_number) + 1) % 1_000_000:06d}"
        await tab.run("app.inbox.start()")
        await until(tab, "state => state.questions.length === 1")
        # A wrong number whose answer is lost counts once.
        answer = await tab.run(
            "return app.api.respondApproval(app.inbox.state.questions[0], 'approve', {matchNumber: args[0]})",
            wrong,
        )
        assert answer == {"state": "APPROVAL_STATE_PENDING", "attemptsRemaining": 2}
        sent = await tab.run("return calls.filter(([path]) => path.includes('respond')).map(call => call[2])")
        assert len(sent) == 2
        assert sent[0] == sent[1]


@engines("chromium")
async def test_what_is_not_reached_is_tried_again_where_that_is_safe(
    window: Browser, service: Service, gateway: Origin
) -> None:
    async with window.tab(gateway.page) as tab:
        await made(tab)
        await registered(tab, service)
        told = await tab.run(
            _WATCHED
            + """
            await app.api.listSites();
            const away = watched(() => true);
            const why = promise => promise.then(() => 'OK', error => [error.reason, error.status]);
            const answers = answer => new app.api.constructor({...app, fetch: async () => answer()});
            const count = path => calls.filter(([each]) => each === path).length;
            const safe = await why(away.listSites());
            const session = count('../v1/account/sessions');
            const gone = await why(answers(() => { throw new TypeError('off'); }).listSites());
            const bad = await why(answers(() => new Response('<html>', {status: 502})).listSites());
            const odd = await why(answers(() => new Response('<html>', {status: 200})).listSites());
            return [safe, session, gone, bad, odd];
            """
        )
        lost = ["UNREACHABLE", 0]
        assert told == [lost, 3, lost, ["UNREACHABLE", 502], ["UNEXPECTED", 200]]


@engines()
async def test_a_clock_that_is_wrong_does_no_harm(window: Browser, service: Service, gateway: Origin) -> None:
    async with window.tab(gateway.page) as tab:
        await made(tab)
        await registered(tab, service)
        told = await tab.run(
            _WATCHED
            + """
            let off = 0;
            const api = watched(() => false, {now: () => Date.now() + off});
            const times = [];
            for (const hours of [0, 5, -100, 3]) {
              off = hours * 3600000;
              await api.updateAccount({phoneCodes: true});
              // As the inbox says it.
              api.heard(args[0]);
              times.push(Math.round(api.serviceNow() / 1000));
            }
            return [times, calls.filter(([, status]) => status !== 200).length > 0];
            """,
            service.clock().isoformat(),
        )
        now = round(service.clock().timestamp())
        assert all(abs(time - now) < 120 for time in told[0])
        # The control: the service did refuse some of them.
        assert told[1] is True
        kept = await tab.run("return app.vault.get('settings', 'offset')")
        assert isinstance(kept, int | float)


@engines()
async def test_a_device_that_waits_is_let_in_by_another_and_put_out(
    window: Browser, service: Service, gateway: Origin
) -> None:
    site, phone = await service.site(), await service.phone()
    user, linked = await service.enroll(site, phone)
    async with window.tab(gateway.page) as tab:
        await made(tab)
        service.clock.turn(minutes=2)
        answer = await registered(tab, service)
        device = answer["device"]
        assert (device["state"], answer["otherDevices"]) == ("DEVICE_STATE_HELD", 1)
        # The digits are made from the keys here, and are those that the service has.
        assert await tab.run("return [app.device.state, app.device.check]") == ["held", device["check"]]
        assert await reason(tab, "app.api.listSites()") == "DEVICE_HELD"
        await tab.run("app.inbox.start()")
        await until(tab, "state => state.connection === 'open'")
        await phone.acknowledge_device(device["deviceId"])
        await phone.approve_device(device["deviceId"], device["check"])
        await tab.run(
            "await new Promise(done => { const look = () => app.device.state === 'active' && done();"
            "app.device.subscribe(look); look(); })"
        )
        (listed,) = await tab.run("return app.api.listSites()")
        assert (listed["siteId"], listed["hasKey"]) == (linked.site_id, False)
        # No code before the site has a key of this device, and no key before it is used.
        code = "return app.device.code((await app.api.sites())[0], app.api.serviceNow())"
        assert await tab.run(code) is None
        asked = await site.client.approvals.CreateApproval(
            CreateApprovalRequest(authy_id=user.authy_id, message="Log in?")
        )
        told = await until(tab, "state => state.questions.length === 1")
        assert told["questions"][0]["approvalId"] == asked.approval.approval_id
        answered = await tab.run("return app.api.respondApproval(app.inbox.state.questions[0], 'deny')")
        assert answered["state"] == "APPROVAL_STATE_DENIED"
        await tab.run("await app.api.listSites()")
        assert len((await tab.run(code))["code"]) == 6
        await phone.revoke_device(device["deviceId"])
        await tab.run(
            "await new Promise(done => { const look = () => app.device.state === 'removed' && done();"
            "app.device.subscribe(look); look(); })"
        )
        state = await until(tab, "state => state.connection === 'off'")
        assert state["questions"] == []
        assert await reason(tab, "app.api.listSites()") == "NO_DEVICE"
        await tab.run("await app.device.forget()")
        assert await tab.run("return app.device.state") == "none"


@engines("chromium")
async def test_a_browser_sees_the_alarm_and_lets_another_device_in(
    window: Browser, service: Service, gateway: Origin
) -> None:
    async with window.tab(gateway.page) as tab:
        await made(tab)
        await registered(tab, service)
        async with serving.gateway(service) as elsewhere, window.tab(elsewhere.page) as other:
            await made(other)
            service.clock.turn(minutes=2)
            answer = await registered(other, service)
            # An account without a site lets the second one in at once, unless it is asked to hold it.
            if answer["device"]["state"] == "DEVICE_STATE_HELD":
                waiting = answer["device"]
                acknowledged = await tab.run("return app.api.acknowledgeDevice(args[0])", waiting["deviceId"])
                assert acknowledged["releaseTime"] < waiting["releaseTime"]
                wrong = f"{(int(waiting['check']) + 1) % 1_000_000:06d}"
                refused = await reason(
                    tab, "app.api.approveDevice(args[0], args[1])", waiting["deviceId"], wrong
                )
                assert refused == "CODE_REJECTED"
                let_in = await tab.run(
                    "return app.api.approveDevice(args[0], args[1])", waiting["deviceId"], waiting["check"]
                )
                assert let_in["state"] == "DEVICE_STATE_ACTIVE"
            devices = await tab.run("return app.api.listDevices()")
            assert [device["current"] for device in devices].count(True) == 1
            renamed = await tab.run(
                "return app.api.updateDevice(args[0], 'Kitchen')", answer["device"]["deviceId"]
            )
            assert renamed["name"] == "Kitchen"


@engines()
async def test_what_answers_in_the_place_of_the_service_is_not_kept(
    window: Browser, service: Service, gateway: Origin
) -> None:
    """A hotel's sign-in page, a proxy: no clock, no sites and no state of the device are learnt from it."""
    bodies = [
        "{}",
        "null",
        "[]",
        "7",
        "<html>",
        '{"sites":[{}],"devices":[null],"activities":{},"account":7}',
    ]
    session = '{"deviceToken":"t","expireTime":"soon","serverTime":"now"}'
    async with window.tab(gateway.page) as tab:
        await made(tab)
        await registered(tab, service)
        await tab.run("await app.api.listSites()")
        told = await tab.run(
            """
            const {Api} = await load('/app/core/api.js');
            // The real sessions may move the clock: it stays one.
            const kept = async () => JSON.stringify([app.device.state, await app.vault.all('sites'),
              Number.isFinite(await app.vault.get('settings', 'offset'))]);
            const before = await kept();
            const found = new Set();
            const all = api => [api.getAccount(), api.listDevices(), api.listSites(), api.listActivity(),
              api.updateAccount({phoneCodes: true}), api.openEnrollment('A'.repeat(22)), api.getLogo('logo'),
              api.startPhoneVerification({phoneNumber: '+15005550006'})];
            for (const body of [...args[0], args[1]]) {
              // Whether the session is real or not.
              for (const real of [false, body !== args[1]]) {
                const api = new Api({...app, fetch: (path, how) => real && path.endsWith('/sessions')
                  ? fetch(path, how) : Promise.resolve(new Response(body))});
                await api.ready;
                for (const call of all(api))
                  found.add(await call.then(() => 'took it', error => error.reason));
              }
            }
            return [[...found], await kept() === before, (await app.api.getAccount()).phoneNumber !== ''];
            """,
            bodies,
            session,
        )
        assert told == [["UNEXPECTED"], True, True]


@engines()
async def test_an_answer_without_an_end_is_not_read_to_it(window: Browser, origin: Origin) -> None:
    async with window.tab(origin.page) as tab:
        told = await tab.run(
            """
            const {json} = await load('/app/core/answer.js');
            const {fromStatus} = await load('/app/core/errors.js');
            const state = {sent: 0, canceled: false}, part = new Uint8Array(100_000).fill(32);
            const endless = new ReadableStream({
              pull: to => { state.sent += part.length; to.enqueue(part); },
              cancel: () => { state.canceled = true; },
            });
            const why = await json(new Response(endless)).then(String, error => error.reason);
            // A wait that no timer takes is over at once: the service would be asked without a pause.
            const far = fromStatus(null, 503, 1e12).retryDelay * 1000 < 2 ** 31;
            const type = 'x/google.rpc.';
            const strange = [null, 7, {'@type': 7}, {'@type': `${type}RetryInfo`, retryDelay: 'soon'},
              {'@type': `${type}BadRequest`, fieldViolations: 7}, {'@type': `${type}ErrorInfo`}];
            const {reason, retryDelay, fields} = fromStatus({details: strange}, 400);
            return [why, state.canceled, state.sent < 8_000_000, far, reason, retryDelay, fields];
            """
        )
        assert told == ["UNEXPECTED", True, True, True, "UNEXPECTED", None, []]


@engines()
async def test_a_later_service_or_a_full_storage_leaves_the_device_as_it_is(
    window: Browser, service: Service, gateway: Origin
) -> None:
    async with window.tab(gateway.page) as tab:
        await made(tab)
        await registered(tab, service)
        told = await tab.run(
            """
            const found = [];
            for (const state of ['DEVICE_STATE_LATER', 7, '__proto__', undefined]) {
              await app.device.heard({deviceId: app.device.deviceId, name: 'x', state});
              found.push(app.device.state, app.device.can('codes'));
            }
            const [{Device}, {VaultError}] = await Promise.all(
              ['device', 'vault'].map(name => load(`/app/core/${name}.js`)));
            app.vault.put = () => Promise.reject(new VaultError('FULL'));
            const started = await Device.load(app.vault);
            return [...found, started.state, started.can('codes')];
            """
        )
        assert told == ["active", True] * 5


@engines()
async def test_what_may_have_been_done_is_told_from_what_was_not(
    window: Browser, service: Service, gateway: Origin
) -> None:
    """A site that was removed is gone, whether the answer came or not."""
    async with window.tab(gateway.page) as tab:
        await made(tab)
        await registered(tab, service)
        told = await tab.run(
            """
            const {Api} = await load('/app/core/api.js');
            const api = new Api({...app, fetch: (path, how) => path.endsWith('/sessions') ? fetch(path, how)
              : Promise.reject(new TypeError('lost'))});
            const token = 'A'.repeat(22), lost = [];
            for (const call of [() => api.getAccount(), () => api.openEnrollment(token),
                () => api.acceptEnrollment(token), () => api.updateAccount({phoneCodes: true})])
              lost.push(await call().catch(({reason, undone}) => [reason, undone]));
            return [lost, await app.api.removeSite('site_none').then(() => 'gone')];
            """
        )
        assert told == [[["UNREACHABLE", each] for each in (True, True, False, False)], "gone"]
