"""The demo's codes: a soft token once, again, a made-up one, and one that was texted."""

from datetime import UTC, datetime, timedelta

from authy_grpc.cli.demo.report import Report
from authy_grpc.cli.demo.stage import Site, Stage
from authy_grpc.v1.authenticator_pb2 import Site as PhoneSite
from authy_grpc.v1.user_pb2 import Factor
from authy_grpc.v1.verification_pb2 import CodeResult, SendCodeRequest, VerifyCodeRequest

ACTION = "login"


async def prove(stage: Stage, site: Site, report: Report) -> None:
    """Tells how codes are judged.

    Args:
        stage: where it plays.
        site: that asks for the codes.
        report: tells it.
    """
    linked = next(each for each in await stage.phone.sites() if each.name == site.name)
    code = await stage.phone.code(linked)
    report.check(f"the soft token {code} is ACCEPTED", *await _verify(site, code, "ACCEPTED SOFT_TOKEN"))
    report.check("the same one again is REPLAYED", *await _verify(site, code, "REPLAYED"))
    wrong = await _wrong(stage, linked)
    report.check(f"a made-up one, {wrong}, is WRONG", *await _verify(site, wrong, "WRONG"))

    sent = await site.client.verification.SendCode(
        SendCodeRequest(authy_id=site.authy_id, force=True, action=ACTION)
    )
    report.check(f"{site.name} has a code sent, and learns nothing of the number", sent.sent)
    texted = await stage.text()
    report.check(f"the phone gets a text message with {texted}", bool(texted))
    report.check("the texted code is ACCEPTED", *await _verify(site, texted, "ACCEPTED SMS", ACTION))


async def _verify(site: Site, code: str, expected: str, action: str = "") -> tuple[bool, str]:
    answer = await site.client.verification.VerifyCode(
        VerifyCodeRequest(authy_id=site.authy_id, code=code, action=action)
    )
    found = CodeResult.Name(answer.result).removeprefix("CODE_RESULT_")
    if found == "ACCEPTED":
        found += f" {Factor.Name(answer.factor).removeprefix('FACTOR_')}"
    return found == expected, found


async def _wrong(stage: Stage, linked: PhoneSite) -> str:
    """Digits that are no code of this phone, some minutes to either side."""
    now = datetime.now(UTC)
    period = timedelta(seconds=linked.code_period_seconds)
    right = {await stage.phone.code(linked, now + step * period) for step in range(-5, 6)}
    return next(
        code for code in ("314159", "271828", *map(str, range(100_000, 100_020))) if code not in right
    )
