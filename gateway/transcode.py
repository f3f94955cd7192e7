"""Transcodes: an HTTP request's path, query and body to the request of an RPC, and its answer to a body.

What a route needs of the descriptors is looked up once, when it is made.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import parse_qsl, unquote

from google.protobuf.descriptor import Descriptor
from google.protobuf.message_factory import GetMessageClass

from gateway.decode import Field, Found, decoder
from gateway.encode import dump, encoder
from gateway.errors import bad
from gateway.jsontext import Wrong, parse, shown
from gateway.routes import Route, Variable

LAST_EVENT_ID = "last-event-id"
_MOST_PARAMETERS = 200
_MASK = "update_mask"
_ESCAPES = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SLASH = re.compile("%2F", re.IGNORECASE)


class _Slot:
    """A field by its path from the request: where a text in a path or query goes.

    Args:
        kind: of the request.
        path: such as `webhook.webhook_id`, each name in either spelling.

    Raises:
        KeyError: there is no such field, or one text cannot give it.
    """

    def __init__(self, kind: Descriptor, path: str) -> None:
        *outer, last = path.split(".")
        names = []
        for name in outer:
            field = decoder(kind).fields[name]
            if field.inner is None:
                raise KeyError(path)
            names.append(field.name)
            kind = field.inner
        self.outer = tuple(names)
        self.field: Field = decoder(kind).fields[last]
        if self.field.text is None:
            raise KeyError(path)
        self.path = ".".join((*names, self.field.name))

    def put(self, request: Any, text: str, found: Found) -> None:
        """Set the field, or add to it where it is a list."""
        owner = self._owner(request)
        try:
            value = self.field.text(text) if self.field.text is not None else text
        except Wrong as wrong:
            found.append((self.path, str(wrong)))
            return
        self.field.put(owner, [value] if self.field.repeated else value, self.path, found)

    def bind(self, request: Any, text: str, found: Found) -> None:
        """Set the field to what the address says; body or query may say the same, and nothing else."""
        owner = self._owner(request)
        name = self.field.name
        if not (owner.HasField(name) if self.field.presence else getattr(owner, name)):
            self.put(request, text, found)
            return
        told = getattr(owner, name)
        owner.ClearField(name)
        self.put(request, text, found)
        if told != getattr(owner, name):
            found.append((self.path, "must not differ from the one in the address"))

    def _owner(self, request: Any) -> Any:
        for name in self.outer:
            request = getattr(request, name)
        return request


class Transcoder:
    """One route: makes its requests and writes its answers.

    Args:
        route: where it comes from.
    """

    def __init__(self, route: Route) -> None:
        kind = route.rpc.input_type
        self.route = route
        self.request_class: Any = GetMessageClass(kind)
        self.response_class: Any = GetMessageClass(route.rpc.output_type)
        self.takes_body = bool(route.body)
        self.write = _answer(route)
        self._kind = kind
        self._decode = decoder(kind)
        self._body: Field | None = None
        if route.body not in ("", "*"):
            self._body = self._decode.fields[route.body]
        self._variables = [(each, _Slot(kind, each.field)) for each in route.variables]
        self._resume = _Slot(kind, route.resume) if route.resume else None
        # The fields that a PATCH can name, in both spellings: all but those that say which resource it is.
        self._maskable: dict[str, str] = {}
        if route.verb == "PATCH" and self._body is not None and _MASK in self._decode.fields:
            inner, bound = self._body.inner, {slot.path for _, slot in self._variables}
            self._maskable = {
                spelling: field.name
                for spelling, field in (decoder(inner).fields.items() if inner is not None else ())
                if f"{self._body.name}.{field.name}" not in bound
            }
        # Of the names that queries have had; as many as the contract has fields.
        self._slots: dict[str, _Slot] = {}

    def request(self, parts: Sequence[str], query: str, body: bytes, last_event_id: str = "") -> Any:
        """The request of the RPC.

        Args:
            parts: the path's segments, undecoded.
            query: undecoded.
            body: empty where there is none.
            last_event_id: of a stream that is taken up again; empty for a new one.

        Raises:
            Failure: fields are wrong, all of them named.
        """
        made = self.request_class()
        found: Found = []
        value = self._read_body(body, made, found) if body else None
        seen = self._read_query(query, made, found) if query else set()
        for variable, slot in self._variables:
            self._bind(variable, slot, parts, made, found)
        if last_event_id and self._resume is not None:
            made.ClearField(self._resume.field.name)
            wrong: Found = []
            self._resume.put(made, last_event_id, wrong)
            found += [(LAST_EVENT_ID, text) for _, text in wrong]
        if found:
            raise bad(found)
        if self._maskable and _MASK not in seen and isinstance(value, dict):
            made.update_mask.paths.extend(self._maskable[key] for key in value if key in self._maskable)
        return made

    def _read_body(self, body: bytes, made: Any, found: Found) -> Any:
        try:
            value, cut = parse(body)
            if self._body is not None:
                self._body.put(made, value, self._body.name, found)
            else:
                self._decode(value, made, "", found)
            if cut and not found:
                found.append(("body", cut))
        except Wrong as wrong:
            found.append(("body", str(wrong)))
            return None
        return value

    def _read_query(self, query: str, made: Any, found: Found) -> set[str]:
        seen: set[str] = set()
        try:
            if not query.isascii() or _ESCAPES.search(query):
                raise ValueError
            pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=_MOST_PARAMETERS)
        except ValueError:
            found.append(
                ("query", f"must be at most {_MOST_PARAMETERS} parameters in UTF-8, percent-encoded")
            )
            return seen
        for name, text in pairs:
            slot = self._slot(name)
            if slot is None:
                found.append((shown(name), "is not a parameter of this call"))
            elif slot.path in seen and not slot.field.repeated:
                found.append((slot.path, "must not stand twice"))
            else:
                seen.add(slot.path)
                slot.put(made, text, found)
        return seen

    def _slot(self, name: str) -> _Slot | None:
        known = self._slots.get(name)
        if known is not None or self.route.body == "*":
            return known
        try:
            slot = _Slot(self._kind, name)
        except KeyError:
            return None
        if self._body is not None and slot.path.partition(".")[0] == self._body.name:
            return None
        self._slots[name] = slot
        return slot

    def _bind(self, variable: Variable, slot: _Slot, parts: Sequence[str], made: Any, found: Found) -> None:
        raw = "/".join(parts[variable.begin : variable.end])
        try:
            if _ESCAPES.search(raw):
                raise ValueError
            # Of several segments, a slash inside of one stays apart from those between.
            text = (
                "%2F".join(unquote(each, errors="strict") for each in _SLASH.split(raw))
                if variable.many
                else unquote(raw, errors="strict")
            )
        except ValueError:
            found.append((slot.path, "must be percent-encoded UTF-8"))
            return
        slot.bind(made, text, found)


def _answer(route: Route) -> Callable[[Any], bytes]:
    kind = route.rpc.output_type
    if not route.response_body:
        whole = encoder(kind)
        return lambda message: dump(whole(message))
    field = kind.fields_by_name[route.response_body]
    whole, key = encoder(kind), field.json_name
    # A message that is not there is an empty one, and not the word null.
    empty: Any = {} if field.message_type is not None else None
    return lambda message: dump(whole(message).get(key, empty))
