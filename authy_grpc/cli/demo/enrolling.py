"""The demo's enrollment: a site shows a QR code and watches, a phone scans and accepts."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from authy_grpc.cli.demo.report import Report
from authy_grpc.cli.demo.stage import Site, Stage
from authy_grpc.v1.enrollment_pb2 import (
    QR_CODE_FORMAT_PNG,
    CreateEnrollmentRequest,
    Enrollment,
    EnrollmentState,
    QrCode,
    QrCodeOptions,
)

_PATIENCE = 10.0


class Watched:
    """What a watcher has seen: each state, and how long it took to arrive.

    Args:
        states: an enrollment's, as they come.
    """

    def __init__(self, states: AsyncIterator[Enrollment]) -> None:
        self._states = states
        self.last = Enrollment()
        self.seen: list[tuple[str, float]] = []

    async def next(self) -> str:
        """Waits for the next state; empty where the stream has ended."""
        try:
            async with asyncio.timeout(_PATIENCE):
                self.last = await anext(self._states)
        except StopAsyncIteration:
            return ""
        arrival = (time.time_ns() - self.last.update_time.ToNanoseconds()) / 1_000_000
        state = EnrollmentState.Name(self.last.state).removeprefix("ENROLLMENT_STATE_")
        self.seen.append((state, round(arrival, 1)))
        return state


async def begin(site: Site) -> tuple[Enrollment, QrCode]:
    """Creates an enrollment, with its QR code as a PNG."""
    request = CreateEnrollmentRequest(custom_user_id=site.user, qr=QrCodeOptions(format=QR_CODE_FORMAT_PNG))
    made = await site.client.enrollments.CreateEnrollment(request)
    return made.enrollment, made.qr


async def enroll(stage: Stage, site: Site, report: Report, *, aloud: bool) -> None:
    """Tells a whole enrollment.

    Args:
        stage: where it plays.
        site: that enrolls.
        report: tells it.
        aloud: whether the QR code and the way there are shown.
    """
    enrollment, qr = await begin(site)
    if aloud:
        report.say(f"{site.name} asks for an enrollment of its user {site.user} and shows:")
        report.qr(qr.image)
        report.say((qr.uri, "dim"))
    states: Any = site.client.watch_enrollment(enrollment.enrollment_id)
    async with aclosing(states):
        watched = Watched(states)
        first = await watched.next()
        # The phone reads the picture, as its camera would.
        offer = await stage.phone.open(qr.image)
        report.check(
            f"the phone reads the PNG, and is asked by {site.name} ({site.origin})",
            (offer.site_name, offer.origin) == (site.name, site.origin),
        )
        second = await watched.next()
        linked = await stage.phone.accept(offer)
        third = await watched.next()
        end = await watched.next()
    if aloud:
        _tell_states(report, watched.seen)
    report.check(
        "the watcher sees PENDING, SCANNED, COMPLETED", (first, second, third) == _STATES, watched.seen
    )
    report.check("then the stream ends", not end, end)
    site.authy_id, site.keys = watched.last.authy_id, list(watched.last.keys)
    report.check(
        f"{site.name} has authy_id {site.authy_id}, and keeps the key that came with it",
        bool(site.authy_id) and len(site.keys) == 1,
    )
    report.check(
        "the phone lists the site", linked.site_id in [each.site_id for each in await stage.phone.sites()]
    )


_STATES = ("PENDING", "SCANNED", "COMPLETED")


def _tell_states(report: Report, seen: list[tuple[str, float]]) -> None:
    report.table(
        ["the watcher sees", "ms from change to arrival"], [[state, f"{took:.1f}"] for state, took in seen]
    )
    report.say(("PENDING stood before the site could watch: the QR code was drawn meanwhile.", "dim"))
    report.fact("watched", [{"state": state, "milliseconds": took} for state, took in seen])
