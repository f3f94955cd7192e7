"""Reads from a call what the audit trail says of it: calls of operators, and accounts that are erased."""

from typing import Any

from google.protobuf.message import Message

from authy_grpc.domain.ids import is_id
from authy_grpc.rpc.call import Call
from authy_grpc.service.caller import Device, Operator

_ERASURE = "/authy_grpc.v1.AccountService/DeleteAccount"
# By their prefixes: what is pasted in the place of an id may be the key itself.
_IDS = {"application_id": "app", "api_key_id": "key"}


def of(call: Call) -> dict[str, Any] | None:
    """Act, actor, outcome and ids, as `Audit.act` takes them; None for a call that is not audited."""
    caller = call.caller
    if isinstance(caller, Operator):
        actor = f"operator:{caller.name}"
    elif isinstance(caller, Device) and call.method == _ERASURE:
        actor = f"device:{caller.device_id}"
    else:
        return None
    found: dict[str, Any] = {
        "act": call.method.rpartition("/")[2],
        "actor": actor,
        "outcome": call.reason or call.code,
    }
    if isinstance(caller, Operator) and caller.operator_key_id:
        found["operator_key_id"] = caller.operator_key_id
    if isinstance(caller, Device):
        found["account_id"] = caller.account_id
    for message in (call.request, call.response):
        if message is not None:
            found |= _ids(message)
    return found


def _ids(message: Message) -> dict[str, str]:
    """The ids in a message or in its parts; lists, and what has not the form of an id, are passed over."""
    found: dict[str, str] = {}
    for field, value in message.ListFields():
        if field.name in _IDS:
            if is_id(_IDS[field.name], value):
                found[field.name] = value
        elif isinstance(value, Message):
            found |= _ids(value)
    return found
