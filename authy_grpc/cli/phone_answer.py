"""Commands by which the simulated phone's owner sees questions and answers them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from authy_grpc.cli.options import LOCAL_ORIGIN, LOCAL_SERVER, PHONE_STATE, Json, Origin, Server, State, Yes

if TYPE_CHECKING:
    from authy_grpc.phone import Pending, Phone, Question
    from authy_grpc.v1.authenticator_pb2 import RespondApprovalResponse

Approval = Annotated[str, typer.Argument(help="The apr_… id; may be left out where only one waits.")]


def add_to(app: typer.Typer) -> None:
    """Adds the commands to a group."""
    for command in (inbox, approve, deny):
        app.command()(command)


def inbox(
    server: Server = LOCAL_SERVER,
    origin: Origin = LOCAL_ORIGIN,
    state: State = PHONE_STATE,
    json: Json = False,
) -> None:
    """Show the questions that wait for an answer."""
    from authy_grpc.cli import handset, show

    async def use(phone: "Phone") -> "Pending":
        return await handset.pending(phone)

    found = handset.run(use, server, origin, state)
    if json:
        return show.as_json([_as_dict(question) for question in found])
    for question in found:
        _show(question)
    if found.refused:
        show.console.print(f"Refused, since they are not in their fixed form: {', '.join(found.refused)}")
    if not found:
        show.console.print("Nothing waits for an answer.")


def approve(
    approval_id: Approval = "",
    number: Annotated[str, typer.Option(help="The digits that the site shows; asked for otherwise.")] = "",
    verified: Annotated[bool, typer.Option("--verified", help="Claim that a PIN was asked for.")] = False,
    server: Server = LOCAL_SERVER,
    origin: Origin = LOCAL_ORIGIN,
    state: State = PHONE_STATE,
    json: Json = False,
) -> None:
    """Approve a question, with the digits that the site shows."""
    from authy_grpc.cli import handset, show

    async def use(phone: "Phone") -> "RespondApprovalResponse":
        question = await handset.find_question(phone, approval_id)
        if not json:
            _show(question)
        digits = number
        if question.match_digits and not digits:
            digits = typer.prompt(f"The {question.match_digits} digits that {question.site} shows", err=json)
        return await phone.approve(question, digits, user_verified=verified)

    answer = handset.run(use, server, origin, state)
    if json:
        return show.as_json(answer)
    if answer.attempts_remaining:
        show.console.print(f"Wrong digits: {answer.attempts_remaining} more tries.")
        raise typer.Exit(1)
    show.console.print(f"It is [bold]{_state(answer.state)}[/].")


def deny(
    approval_id: Approval = "",
    fraud: Annotated[bool, typer.Option("--fraud", help="Somebody else has asked.")] = False,
    yes: Yes = False,
    server: Server = LOCAL_SERVER,
    origin: Origin = LOCAL_ORIGIN,
    state: State = PHONE_STATE,
    json: Json = False,
) -> None:
    """Deny a question."""
    from authy_grpc.cli import handset, show

    async def use(phone: "Phone") -> "RespondApprovalResponse":
        question = await handset.find_question(phone, approval_id)
        if not json:
            _show(question)
        if not yes:
            typer.confirm("Deny it?", default=True, abort=True, err=json)
        return await (phone.report_fraud if fraud else phone.deny)(question)

    answer = handset.run(use, server, origin, state)
    if json:
        return show.as_json(answer)
    show.console.print(f"It is [bold]{_state(answer.state)}[/].")


def _state(state: int) -> str:
    from authy_grpc.cli import show
    from authy_grpc.v1.approval_pb2 import ApprovalState

    return show.name_of(ApprovalState, state, "APPROVAL_STATE_")


def _show(question: "Question") -> None:
    from rich.panel import Panel
    from rich.text import Text

    from authy_grpc.cli import show

    lines = Text.assemble((question.message, "bold"))
    for label, value in question.details:
        lines.append(f"\n{label}: {value}")
    show.console.print(Panel(lines, title=Text(f"{question.site} asks"), expand=False))
    # Not in the panel, which a narrow terminal would break it by.
    show.console.print(Text(f"{question.approval_id}, from {question.origin}", style="dim"))


def _as_dict(question: "Question") -> dict[str, str | int | bool | Sequence[Sequence[str]]]:
    return {
        "approvalId": question.approval_id,
        "siteId": question.site_id,
        "site": question.site,
        "origin": question.origin,
        "message": question.message,
        "details": question.details,
        "matchDigits": question.match_digits,
        "userVerification": question.user_verification,
        "created": question.created,
        "expires": question.expires,
    }
