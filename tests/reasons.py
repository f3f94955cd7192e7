"""Holds how calls have ended against the reasons that the contract lists for their methods."""

from prometheus_client import CollectorRegistry

from authy_grpc.rpc.contract import methods, path
from authy_grpc.v1 import options_pb2
from authy_grpc.v1.errors_pb2 import ErrorReason

# As ErrorReason says.
_EVERY = frozenset(
    {
        "BAD_FIELD",
        "BACKEND",
        "DRAINING",
        "REQUEST_TIMEOUT",
        "INTERNAL",
        "RATE_LIMITED",
    }
)


def _of_access(access: options_pb2.Access) -> set[str]:
    if access.caller == options_pb2.CALLER_ANYONE:
        return set()
    free = access.held and access.limited and not access.itself_alone
    held = access.caller == options_pb2.CALLER_DEVICE and not free
    return {"BAD_CREDENTIAL", "MISSING_SCOPE"} | ({"DEVICE_HELD"} if held else set())


LISTED = {
    path(method): _EVERY
    | _of_access(method.GetOptions().Extensions[options_pb2.access])
    | {
        ErrorReason.Name(reason).removeprefix("ERROR_REASON_")
        for reason in method.GetOptions().Extensions[options_pb2.reasons]
    }
    for method in methods()
}


def unlisted(registry: CollectorRegistry) -> set[tuple[str, str]]:
    """Calls of the contract that a server refused for a reason that it does not list: path and reason."""
    ended = {
        (sample.labels["method"], sample.labels["reason"])
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == "grpc_server_handled_total" and sample.labels["reason"]
    }
    return {(method, reason) for method, reason in ended if reason not in LISTED.get(method, {reason})}
