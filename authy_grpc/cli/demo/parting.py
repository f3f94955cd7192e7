"""The demo's comparison: what two sites know of one person, laid side by side and searched."""

import re
import time

from authy_grpc.cli.demo import asking, compare, enrolling, proving
from authy_grpc.cli.demo.compare import Knowledge
from authy_grpc.cli.demo.report import Report
from authy_grpc.cli.demo.stage import DEVICE_NAME, NUMBER, Site, Stage
from authy_grpc.cli.demo.tap import Exchange
from authy_grpc.client import NotFound
from authy_grpc.v1.approval_pb2 import CreateApprovalRequest
from authy_grpc.v1.event_pb2 import ListEventsRequest
from authy_grpc.v1.user_pb2 import GetUserRequest, GetUserResponse, ListUsersRequest

_ANYBODY = "1000001"
_SHORTEST = 8


async def part(stage: Stage, one: Site, two: Site, report: Report) -> None:
    """Tells that the sites of one person have nothing in common.

    Args:
        stage: where it plays.
        one: a site that has used its user already.
        two: a site that does the same now.
        report: tells it.
    """
    question = CreateApprovalRequest(message="Open the reading room?")
    with report.quietly():
        await enrolling.enroll(stage, two, report, aloud=False)
        await proving.prove(stage, two, report)
        question.authy_id = two.authy_id
        await asking.ask(stage, two, report, question, aloud=False)
    report.say(f"{two.name} goes through steps 3, 4 and 5 with the same phone, and all is as it was there.")
    for site in (one, two):
        await _look_around(site, report)
    known = [Knowledge.of(site.tap.exchanges) for site in (one, two)]
    _show(report, one, two, known)
    found = compare.common(known[0], known[1], time.time())
    report.check("of all these values no two are equal", not found, sorted(found))
    hints = needles(stage)
    for site, its in zip((one, two), known, strict=True):
        mentioned = compare.mentions(its, hints)
        report.check(f"{site.name} never got the phone number, the device's name or its id", not mentioned)
    _control(one, two, report, hints)


def needles(stage: Stage) -> tuple[str, ...]:
    """What no site may get in any form: the number, whole and in part, and what the device is called."""
    digits = NUMBER.removeprefix("+")
    return (NUMBER, digits, digits[-_SHORTEST:], DEVICE_NAME, stage.phone.device_id)


async def _look_around(site: Site, report: Report) -> None:
    """Reads all that a site can read, and has a call refused, so that an error is searched too."""
    await site.client.users.ListUsers(ListUsersRequest())
    await site.client.events.ListEvents(ListEventsRequest(cursor="earliest", page_size=1000))
    try:
        await site.client.users.GetUser(GetUserRequest(authy_id=_ANYBODY))
    except NotFound:
        return
    report.check(f"{site.name} finds no user of another site", False)


def _show(report: Report, one: Site, two: Site, known: list[Knowledge]) -> None:
    calls = [len(site.tap.exchanges) for site in (one, two)]
    values = [len(its.received - its.chosen) for its in known]
    report.table(
        ["what the site holds", one.name, two.name],
        [
            ["authy_id", one.authy_id, two.authy_id],
            ["key (thumbprint)", _short(one.keys[0].kid), _short(two.keys[0].kid)],
            ["calls and streams", *map(str, calls)],
            ["bytes from the service", *(f"{len(its.raw):,}" for its in known)],
            ["values in them", *map(str, values)],
        ],
    )
    report.say(
        (
            "Left out: what both sites sent by themselves, the contract's own words, values of fewer than",
            "dim",
        )
    )
    report.say(
        (f"{compare.MIN_LENGTH} characters, and times in whole seconds, which may be equal by chance.", "dim")
    )
    report.fact("calls", calls)
    report.fact("values", values)
    report.fact("bytes", [len(its.raw) for its in known])


def _control(one: Site, two: Site, report: Report, hints: tuple[str, ...]) -> None:
    """Shows that the search finds what is there: one equal value and the number, put in by hand."""
    planted = GetUserResponse()
    planted.user.authy_id = one.authy_id
    tainted = Exchange(
        "/authy_grpc.v1.UserService/GetUser",
        GetUserRequest(custom_user_id=two.user).SerializeToString(),
        received=[planted.SerializeToString()],
        metadata=[("x-note", f"no text to {NUMBER}")],
    )
    theirs = Knowledge.of([*two.tap.exchanges, tainted])
    found = compare.common(Knowledge.of(one.tap.exchanges), theirs, time.time())
    number = NUMBER in compare.mentions(theirs, hints)
    report.check(
        "control: an equal value and the number, planted, are found",
        found == {one.authy_id} and number,
        found,
    )
    report.fact("control", {"planted": 2, "found": len(found) + number})


def _short(kid: str) -> str:
    return re.sub(r"^(.{12}).*", r"\1…", kid)
