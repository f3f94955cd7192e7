"""Runs the demo: its folder, its output, its end, and how to go on by hand."""

import asyncio
import json as json_
import shlex
import signal
import tempfile
from pathlib import Path

from rich.console import Console

from authy_grpc.cli import show
from authy_grpc.cli.demo.report import Report, Unexpected
from authy_grpc.cli.demo.stage import Stage, stage
from authy_grpc.cli.demo.story import Story
from authy_grpc.client import AuthyError, ReceiptError
from authy_grpc.phone import PhoneError

_WIDTH = 100


def run(*, json: bool, keep: bool) -> bool:
    """Runs the demo.

    Args:
        json: print one JSON document instead of a story.
        keep: leave the service running until SIGINT or SIGTERM.

    Returns:
        Whether each step was as it should be.
    """
    console = Console(quiet=json, highlight=False)
    if console.width > _WIDTH:
        console.width = _WIDTH
    with tempfile.TemporaryDirectory(prefix="authy-demo-") as folder:
        return asyncio.run(_play(Path(folder), console, json, keep))


async def _play(folder: Path, console: Console, json: bool, keep: bool) -> bool:
    report = Report(console)
    async with stage(folder) as on:
        console.print(f"[bold]authy-grpc[/] serves gRPC at {on.target}")
        console.print(f"SQLite, text messages and log are in {folder} until the demo ends")
        well = await _tell(on, report, console)
        report.close()
        lines = _lines(on) if keep and well else []
        if json:
            print(json_.dumps(report.as_json() | ({"try": lines} if lines else {}), indent=2), flush=True)
        if lines:
            report.commands("It goes on until Ctrl-C. In another terminal, these work when pasted:", lines)
            await _wait()
        elif well:
            report.commands("Go on by hand:", _by_hand())
    return well


async def _tell(on: Stage, report: Report, console: Console) -> bool:
    try:
        await Story(on, report).tell()
    except (Unexpected, AuthyError, PhoneError, ReceiptError, TimeoutError) as error:
        report.failure = report.failure or f"{type(error).__name__}: {error}".rstrip(": ")
        Console(stderr=True, highlight=False).print(
            f"✗ step {len(report.steps)}: {str(error) or 'nothing came in time'}",
            style="bold red",
            markup=False,
        )
    return not report.failure


async def _wait() -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await stopped.wait()


def _by_hand() -> list[str]:
    authy = show.program()
    return [
        f"{authy} demo --keep  # the same, left running, with grpcurl lines to paste",
        f"{authy} serve --dev  # a service of your own, which prints what to try (or: make up)",
    ]


def _lines(on: Stage) -> list[str]:
    """Commands that work in this run; the site's key is read from a file."""
    authy, grpcurl = (show.program(name, elsewhere=True) for name in ("authy-grpc", "grpcurl"))
    site = on.sites[0]
    # Screens are shared and recorded, and a terminal keeps what it has shown.
    key_file = on.folder / "site.key"
    key_file.touch(mode=0o600)
    key_file.write_text(site.api_key)
    key = f'-H "authorization: Bearer $(cat {shlex.quote(str(key_file))})"'
    call = f"{grpcurl} -plaintext {key}"
    package = "authy_grpc.v1"
    new = '{"custom_user_id":"by-hand-1"}'
    ask = f'{{"authy_id":"{site.authy_id}","message":"Is it you?","ttl":"600s"}}'
    phone = f"{authy} phone"
    return [
        f"export AUTHY_SERVER={on.target} AUTHY_HOME={on.folder} AUTHY_PHONE_STATE={on.folder}/phone.json",
        f"{grpcurl} -plaintext {on.target} list",
        f"{grpcurl} -plaintext {on.target} grpc.health.v1.Health/Check",
        f"{call} {on.target} {package}.UserService/ListUsers",
        f"{phone} code {shlex.quote(site.name)}",
        f"{call} -d '{new}' {on.target} {package}.EnrollmentService/CreateEnrollment",
        f"{phone} scan 'URI_FROM_ABOVE'",
        f"{call} -d '{ask}' {on.target} {package}.ApprovalService/CreateApproval",
        f"{phone} approve",
        f'{call} -d \'{{"cursor":"earliest"}}\' {on.target} {package}.EventService/WatchEvents',
        f"{authy} application list",
    ]
