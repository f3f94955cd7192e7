"""The demo's approval: a site asks, the phone shows and signs, the site checks the receipt by itself."""

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

from authy_grpc.cli.demo.report import Report
from authy_grpc.cli.demo.stage import DEVICE_NAME, Site, Stage
from authy_grpc.client import Decision, ReceiptError, check_asked, verify_receipt
from authy_grpc.v1.approval_pb2 import Approval, ApprovalState, CreateApprovalRequest, Detail

_PATIENCE = 10.0


async def ask(
    stage: Stage, site: Site, report: Report, request: CreateApprovalRequest, *, aloud: bool
) -> None:
    """Tells a whole approval.

    Args:
        stage: where it plays.
        site: that asks.
        report: tells it.
        request: what it asks, of its user.
        aloud: whether the screens are shown.
    """
    asked = (await site.client.approvals.CreateApproval(request)).approval
    check_asked(request, asked, datetime.now(UTC))
    states: Any = site.client.watch_approval(asked.approval_id)
    async with aclosing(states), asyncio.timeout(_PATIENCE):
        first = await anext(states)
        question = await stage.phone.question()
        lines = [question.message, *(f"{label}: {value}" for label, value in question.details)]
        if aloud:
            report.screens(
                (site.origin, ["Type this into your phone:", "", " ".join(asked.match_number)]),
                (f"{DEVICE_NAME}: {question.site} asks", [*lines, "", " ".join("_" * question.match_digits)]),
            )
        report.check(
            "the phone shows what the site has asked, and is not told the digits",
            question.message == request.message
            and question.details == tuple((each.label, each.value) for each in request.details)
            and asked.match_number not in question.write().decode(),
        )
        await stage.phone.approve(question, asked.match_number)
        seen = [_name(first), *[_name(last := each) async for each in states]]
    report.check(
        f"six digits are typed, and the site's stream ends: {', '.join(seen)}", seen == _STATES, seen
    )
    _check_receipt(site, report, last, asked)


_STATES = ["PENDING", "APPROVED"]


def invoice(site: Site) -> CreateApprovalRequest:
    """What the first site asks."""
    return CreateApprovalRequest(
        authy_id=site.authy_id,
        message="Pay this invoice?",
        details=[
            Detail(label="To", value="Kestrel Bicycles"),
            Detail(label="Amount", value="249.00 EUR"),
        ],
        hidden_details={"invoice": "2026-1181"},
    )


def _check_receipt(site: Site, report: Report, approval: Approval, asked: Approval) -> None:
    verified = verify_receipt(approval, asked, site.origin, site.keys)
    report.check(
        f"the receipt is signed by the key that {site.name} has kept ({verified.kid[:8]}…)",
        verified.decision is Decision.APPROVE,
    )
    other = Approval()
    other.CopyFrom(asked)
    other.message = asked.message + " "
    try:
        verify_receipt(approval, other, site.origin, site.keys)
    except ReceiptError as error:
        report.check("for a question that differs by a space it is refused", True, error)
    else:
        report.check("for a question that differs by a space it is refused", False)


def _name(approval: Approval) -> str:
    return ApprovalState.Name(approval.state).removeprefix("APPROVAL_STATE_")
