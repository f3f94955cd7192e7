"""How many statements a call runs: as many as it has questions, and no more by accident."""

import re
from collections.abc import Awaitable
from typing import Any

from authy_grpc.service.enrollment import Draft
from authy_grpc.store.once import Request
from tests.checking import Booth
from tests.clock import TurnedClock
from tests.enrolling import Hall
from tests.registering import Handset, People
from tests.sql import statements

# What the tailer of the feed reads whenever it likes.
_BESIDE = re.compile(r"^(BEGIN|SELECT event\.)")


async def count(call: Awaitable[Any]) -> tuple[Any, int]:
    """What a call answers, and how many statements it took."""
    with statements(_BESIDE) as seen:
        answer = await call
    return answer, len(seen)


async def test_a_call_runs_as_many_statements_as_it_has_questions(
    sqlite_url: str, clock: TurnedClock
) -> None:
    async with Hall.hired(sqlite_url, clock) as hall:
        counts: dict[str, int] = {}
        site, phone = await hall.site(), await hall.phone()
        draft = Draft(custom_user_id="ada")
        request = Request("CreateEnrollment", "r1", b"x")
        (made, qr), counts["CreateEnrollment"] = await count(hall.enrollments.create(site, request, draft))
        _, counts["GetEnrollment"] = await count(hall.enrollments.get(site, made.enrollment_id))
        _, counts["AcceptEnrollment"] = await count(hall.accept(phone, qr.uri))
        authy_id = (await hall.user_of(site)).authy_id
        _, counts["GetUser"] = await count(hall.users.get(site, authy_id))
        _, counts["UnlockUser"] = await count(hall.users.unlock(site, authy_id, []))
        _, counts["VerifyCode"] = await count(hall.verify(site, authy_id, "000000"))
        link, device = await hall.user(site)
        asked, counts["CreateApproval"] = await count(hall.ask(link))
        _, counts["RespondApproval"] = await count(hall.respond(link, device, asked))
        assert counts == {
            "CreateEnrollment": 8,
            "GetEnrollment": 1,
            "AcceptEnrollment": 18,
            "GetUser": 1,
            "UnlockUser": 4,
            "VerifyCode": 6,
            "CreateApproval": 6,
            "RespondApproval": 12,
        }


async def test_a_code_is_sent_and_a_number_proven_by_few(sqlite_url: str, clock: TurnedClock) -> None:
    counts: dict[str, int] = {}
    async with Booth.opened(sqlite_url, clock) as booth:
        user = await booth.user(await booth.site())
        _, counts["SendCode"] = await count(booth.send(user))
        # What is due is taken together; what became of each is written by itself.
        _, counts["texts of one code"] = await count(booth.texts.send_due())
    async with People.opened(sqlite_url, clock) as people:
        began, code = await people.start()
        asked = Handset.new().asks(began.verification_id, code)
        registered = people.registrations.register(people.nobody(), asked)
        _, counts["RegisterDevice"] = await count(registered)
    assert counts == {"SendCode": 10, "texts of one code": 8, "RegisterDevice": 10}
