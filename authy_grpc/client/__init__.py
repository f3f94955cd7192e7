"""What a relying site's backend imports: connect, call, watch with resume, check receipts and posts."""

from authy_grpc.client.async_client import AsyncClient
from authy_grpc.client.browser import sse
from authy_grpc.client.errors import (
    AuthyError,
    BadCredential,
    BadField,
    BadSignature,
    Canceled,
    CodeRejected,
    CursorExpired,
    DeadlineExceeded,
    FactorUnavailable,
    ForbiddenAddress,
    Internal,
    MissingScope,
    NotFound,
    PushFrozen,
    Quota,
    RateLimited,
    RequestIdReused,
    Unavailable,
    UserExists,
    UserLocked,
    WrongState,
)
from authy_grpc.client.receipt import ReceiptError, Verified, check_asked, verify_receipt
from authy_grpc.client.sync_client import Client
from authy_grpc.client.watch import EventAt
from authy_grpc.client.webhook import Post, WebhookError, verify_webhook
from authy_grpc.domain.receipts import Decision

__all__ = [
    "AsyncClient",
    "AuthyError",
    "BadCredential",
    "BadField",
    "BadSignature",
    "Canceled",
    "Client",
    "CodeRejected",
    "CursorExpired",
    "DeadlineExceeded",
    "Decision",
    "EventAt",
    "FactorUnavailable",
    "ForbiddenAddress",
    "Internal",
    "MissingScope",
    "NotFound",
    "Post",
    "PushFrozen",
    "Quota",
    "RateLimited",
    "ReceiptError",
    "RequestIdReused",
    "Unavailable",
    "UserExists",
    "UserLocked",
    "Verified",
    "WebhookError",
    "WrongState",
    "check_asked",
    "sse",
    "verify_receipt",
    "verify_webhook",
]
