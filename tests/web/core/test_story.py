"""The modules of the web authenticator against a real service: registration, sites, questions, devices."""

import pytest

from authy_grpc.domain import receipts
from authy_grpc.v1.approval_pb2 import ApprovalState, CreateApprovalRequest, GetApprovalRequest
from authy_grpc.v1.enrollment_pb2 import CreateEnrollmentRequest, GetEnrollmentRequest
from authy_grpc.v1.verification_pb2 import CodeResult, VerifyCodeRequest
from tests.harness import Service, Site
from tests.web.conftest import engines
from tests.web.core.apps import made, reason, registered, until
from tests.web.engines import Browser, Tab
from tests.web.serving import Origin

pytestmark = pytest.mark.slow


async def link(tab: Tab, site: Site, user: str = "ada") -> tuple[str, str]:
    """Link a site by the tab's device: the authy_id and the site_id."""
    made_ = await site.client.enrollments.CreateEnrollment(CreateEnrollmentRequest(custom_user_id=user))
    token = made_.qr.uri.rpartition("/")[2]
    offer = await tab.run("return app.api.openEnrollment(args[0])", token)
    assert offer["siteName"] == site.application.name
    assert offer["origin"] == site.application.origin
    linked = await tab.run("return app.api.acceptEnrollment(args[0])", token)
    found = await site.client.enrollments.GetEnrollment(
        GetEnrollmentRequest(enrollment_id=made_.enrollment.enrollment_id)
    )
    return found.enrollment.authy_id, linked["siteId"]


async def accepted(site: Site, authy_id: str, code: str) -> None:
    """The site takes a code."""
    asked = VerifyCodeRequest(authy_id=authy_id, code=code)
    answer = await site.client.verification.VerifyCode(asked)
    assert answer.result == CodeResult.CODE_RESULT_ACCEPTED


@engines()
async def test_the_whole_story(window: Browser, service: Service, gateway: Origin) -> None:
    site = await service.site()
    async with window.tab(gateway.page) as tab:
        assert await made(tab) == "none"
        answer = await registered(tab, service)
        assert await tab.run("return [app.device.state, app.device.deviceId]") == [
            "active",
            answer["device"]["deviceId"],
        ]
        authy_id, site_id = await link(tab, site)
        (listed,) = await tab.run("return app.api.listSites()")
        assert (listed["siteId"], listed["hasKey"]) == (site_id, True)
        code = await tab.run("return app.device.code((await app.api.sites())[0], app.api.serviceNow())")
        assert code["secondsLeft"] in range(1, 31)
        await accepted(site, authy_id, code["code"])
        service.clock.turn(seconds=30)
        await accepted(site, authy_id, code["next"])

        asked = await site.client.approvals.CreateApproval(
            CreateApprovalRequest(authy_id=authy_id, message="Log <b>in</b>?", match_digits=6)
        )
        approval = asked.approval
        await tab.run("app.inbox.start()")
        told = await until(tab, "state => state.questions.length === 1")
        assert told["questions"][0]["message"] == "Log <b>in</b>?"
        wrong = f"{(int(approval.match_number) + 1) % 1_000_000:06d}"
        respond = (
            "return app.api.respondApproval(app.inbox.state.questions[0], 'approve', {matchNumber: args[0]})"
        )
        answer = await tab.run(respond, wrong)
        assert answer == {"state": "APPROVAL_STATE_PENDING", "attemptsRemaining": 2}
        answer = await tab.run(respond, approval.match_number)
        assert answer["state"] == "APPROVAL_STATE_APPROVED"
        await until(tab, "state => state.questions.length === 0")
        found = (
            await site.client.approvals.GetApproval(GetApprovalRequest(approval_id=approval.approval_id))
        ).approval
        assert found.state == ApprovalState.APPROVAL_STATE_APPROVED
        signed = receipts.read(found.receipt)
        assert signed.receipt.match_number == approval.match_number

        renamed = await tab.run("return app.api.updateSite(args[0], 'my shop')", site_id)
        assert renamed["label"] == "my shop"
        account = await tab.run("return app.api.updateAccount({phoneCodes: false})")
        assert account["phoneCodes"] is False
        account = await tab.run("return app.api.updateAccount({newDevicePolicy: 'NEW_DEVICE_POLICY_ALLOW'})")
        assert account["newDevicePolicy"] == "NEW_DEVICE_POLICY_ALLOW"
        device_id = await tab.run("return app.device.deviceId")
        assert (await tab.run("return app.api.updateDevice(args[0], 'Kitchen')", device_id))[
            "name"
        ] == "Kitchen"
        types = await tab.run("return (await app.api.listActivity()).activities.map(each => each.type)")
        assert "approval.approved" in types
        await tab.run("await app.api.removeSite(args[0])", site_id)
        assert await tab.run("return app.api.listSites()") == []
        assert await tab.run("return app.api.sites()") == []
        await tab.run("await app.api.revokeDevice(args[0])", device_id)
        assert await tab.run("return [app.device.state, (await app.vault.all('device')).length]") == [
            "none",
            0,
        ]
        assert await reason(tab, "app.api.listSites()") == "NO_DEVICE"
