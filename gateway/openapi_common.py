"""What the operations of the OpenAPI document share: headers, credentials, the gateway's own errors."""

from collections.abc import Mapping
from typing import Any

from gateway.body import MOST_ADDRESS, MOST_BODY, MOST_HEADERS
from gateway.refusals import DEVICE, OPERATOR, SITE
from gateway.schemas import Schema

_STATUS = {"application/json": {"schema": {"$ref": "#/components/schemas/Status"}}}
INFO: Mapping[str, Any] = {
    "title": "Authy over gRPC, as REST",
    "version": "v1",
    "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
    "summary": "A second factor without personal data.",
    "description": "The contract of `authy_grpc.v1` as JSON.\n\n"
    "A credential goes into the header `Authorization: Bearer …`: the API key of a relying site (`ak_…`), the"
    " device token of an authenticator (`dt_…`) or the operator's key (`op_…`). An error is a"
    " `google.rpc.Status` as JSON: switch on the `reason` in its `details`.\n\n"
    "A stream, each GET that ends in `:watch`, is server-sent events. Read it by `fetch`, since EventSource"
    " sends no credential. Send the last `id` back as `Last-Event-ID`, and it goes on after that event.\n\n"
    "JSON is proto3 JSON: 64-bit integers are strings, times RFC 3339, bytes base64. Fields without presence"
    " are always there. In requests `null` is the same as nothing, a field may be spelled as in the contract"
    " (`custom_user_id`), and numbers may be strings; an unknown name is refused.\n\n"
    "PATCH changes the keys that the body has, or those that `updateMask` names. An id that holds a colon is"
    " written `%3A`. Where there is a GET there is a HEAD.",
}
SECURITY: Mapping[str, Any] = {
    SITE: {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key of a relying site, with one of the scopes that the call names.",
    },
    DEVICE: {
        "type": "http",
        "scheme": "bearer",
        "description": "A device token of an authenticator, from CreateSession.",
    },
    OPERATOR: {"type": "http", "scheme": "bearer", "description": "The operator's key."},
}
PARAMETERS: Mapping[str, Any] = {
    "GrpcTimeout": {
        "in": "header",
        "name": "Grpc-Timeout",
        "schema": {"type": "string", "pattern": "^[0-9]{1,8}[HMSmun]$"},
        "description": "A deadline, such as `5S`: at most a minute, 10 s where there is none. A stream ends"
        " at it, and without one goes on.",
    },
    "LastEventId": {
        "in": "header",
        "name": "Last-Event-ID",
        "schema": {"type": "string"},
        "description": "The `id` of the last event that was read: the stream goes on after it.",
    },
}
HEADERS: Mapping[str, Any] = {
    "RequestId": {"schema": {"type": "string"}, "description": "Finds the call in the operator's log."},
    "RetryAfter": {
        "schema": {"type": "integer", "minimum": 0},
        "description": "Seconds to wait, where time helps.",
    },
    "Authenticate": {"schema": {"const": "Bearer"}, "description": "How to say who calls."},
}
_GATEWAYS: Mapping[int, tuple[str, str]] = {
    408: ("TooSlow", "The body did not come in time: `BAD_FIELD`."),
    413: ("BodyTooLarge", f"The body has more than {MOST_BODY} bytes: `BAD_FIELD`."),
    414: ("AddressTooLong", f"The address has more than {MOST_ADDRESS} bytes: `BAD_FIELD`."),
    415: ("NotJson", "The body is no `application/json` in UTF-8: `BAD_FIELD`."),
    431: ("HeadersTooLarge", f"The headers have more than {MOST_HEADERS} bytes in all: `BAD_FIELD`."),
    499: ("CalledOff", "The service called the call off: try again."),
    500: ("Fault", "A fault: tell the operator the `request_id`. `INTERNAL`."),
    501: ("NotThere", "The service is older than this gateway, and does not have the call."),
    503: ("NotNow", "`BACKEND`: nothing was decided, try again. `DRAINING`: the server stops, try again."
          " Without a reason: the service is out of reach, and the call may have been done."),
    504: ("NotInTime", "Not answered by the deadline: it may have been done."),
}  # fmt: skip
RESPONSES: Mapping[str, Any] = {
    name: {
        "description": told,
        "headers": {"X-Request-Id": {"$ref": "#/components/headers/RequestId"}},
        "content": _STATUS,
    }
    for name, told in _GATEWAYS.values()
}
# Any operation may answer so.
REFUSED: Mapping[str, Any] = {
    str(http): {"$ref": f"#/components/responses/{name}"} for http, (name, _) in _GATEWAYS.items()
}


def webhooks(event: Schema) -> Mapping[str, Any]:
    """What is posted to the sites' webhooks.

    Args:
        event: refers to the schema of an event.
    """
    text = {"type": "string"}
    post = {
        "type": "object",
        "properties": {"type": text, "timestamp": {"type": "string", "format": "date-time"}, "data": event},
        "required": ["type", "timestamp", "data"],
    }
    told = {
        "webhook-id": "The event's id: drop what comes again.",
        "webhook-timestamp": "Seconds since 1970.",
        "webhook-signature": "Of Standard Webhooks; two with a space between while a secret is rotated.",
    }
    operation = {
        "operationId": "postEvent",
        "tags": ["WebhookService"],
        "summary": "An event, posted to a webhook",
        "description": "Signed as Standard Webhooks asks. Comes at least once, and again until it is taken.",
        "parameters": [
            {"in": "header", "name": name, "required": True, "schema": text, "description": each}
            for name, each in told.items()
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": post}}},
        "responses": {
            "2XX": {"description": "Taken."},
            "410": {"description": "No more of these: the webhook is turned off."},
            "default": {"description": "Posted again later."},
        },
        "security": [],
    }
    return {"event": {"post": operation}}
