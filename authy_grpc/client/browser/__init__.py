"""What a relying site embeds: two custom elements, and the server-sent events and answers that feed them.

`path()` is the folder to serve from the site's own origin. `sse` turns a watcher into the lines of an event
stream; `enrollment_answer` and `approval_answer` are the JSON of the other requests. docs/integrating.md has
the protocol. For the frameworks: `authy_grpc.client.browser.starlette`, `.django` and `.flask`.
"""

from pathlib import Path

from authy_grpc.client.browser.events import HEADERS, approval_state, enrollment_state, last_revision, sse
from authy_grpc.v1.approval_pb2 import Approval
from authy_grpc.v1.enrollment_pb2 import Enrollment

__all__ = [
    "HEADERS",
    "approval_answer",
    "approval_state",
    "enrollment_answer",
    "enrollment_state",
    "last_revision",
    "path",
    "sse",
]


def path() -> Path:
    """The folder of `authy-site.js` and `authy-site.css`, to be served by the site itself."""
    return Path(__file__).parent / "static"


def enrollment_answer(
    enrollment: Enrollment, *, events: str, link: str = "", image: str = "", next: str = ""
) -> dict[str, str]:
    """What `<authy-enroll>` is answered: nothing of the enrollment but its state and its end.

    Args:
        enrollment: as it stands.
        events: the site's address of its event stream.
        link: `qr.uri` of CreateEnrollmentResponse, kept by the site; left out once it has been used.
        image: the site's address of the QR code's image.
        next: where to go, on the site, once completed.
    """
    state = enrollment_state(enrollment)
    answer = {"state": state, "expires": enrollment.expire_time.ToJsonString(), "events": events}
    # A link of ours works once; an otpauth link is scanned while the code is awaited already.
    if state == "pending" or (state == "awaiting_code" and link.startswith("otpauth:")):
        answer |= {"link": link, "image": image}
    return answer | ({"next": next} if next and state == "completed" else {})


def approval_answer(approval: Approval, *, events: str, next: str = "") -> dict[str, str]:
    """What `<authy-approval>` is answered: nothing of the approval but its state, its number and its end.

    Args:
        approval: as it stands, of an answer of ApprovalService.
        events: the site's address of its event stream.
        next: where to go, on the site, once its backend has verified the receipt.
    """
    state = approval_state(approval)
    answer = {"state": state, "expires": approval.expire_time.ToJsonString(), "events": events}
    if state == "pending":
        answer["number"] = approval.match_number
    return answer | ({"next": next} if next and state == "approved" else {})
