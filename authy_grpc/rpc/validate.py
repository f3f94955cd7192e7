"""Validates requests against the limits of the contract, before their handler runs."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from authy_grpc.domain.errors import BadField, Violation
from authy_grpc.rpc.contract import PACKAGE
from authy_grpc.rpc.fields import MASK, rule_of, update_of
from authy_grpc.rpc.rules import Items, Origin, Required, Rule, Update

# Trailing metadata, where they travel, has 8 KiB with most clients.
_MOST = 20
_WHOLE = frozenset({"google.protobuf.Timestamp", "google.protobuf.Duration"})

Found = list[Violation]
Step = Callable[[Any, str, Found], None]


class _Checker:
    """Checks one kind of message: made once, run for each."""

    def __init__(self) -> None:
        self.plain: tuple[tuple[str, Callable[[Any], str | None]], ...] = ()
        self.steps: tuple[Step, ...] = ()

    def __call__(self, message: Any, prefix: str, found: Found) -> None:
        for name, check in self.plain:
            wrong = check(getattr(message, name))
            if wrong is not None:
                found.append(Violation(prefix + name, wrong))
        for step in self.steps:
            step(message, prefix, found)


class Validate:
    """Refuses requests beyond the limits, all bad fields at once (of very many, the first).

    Args:
        local_origins: take http origins of this machine too (development).
    """

    def __init__(self, *, local_origins: bool = False) -> None:
        self._local_origins = local_origins
        self._checkers: dict[str, _Checker] = {}
        self._by_class: dict[type[Message], _Checker] = {}

    def __call__(self, request: Message) -> None:
        """Check a message.

        Raises:
            BadField: it breaks limits.
        """
        checker = self._by_class.get(type(request))
        if checker is None:
            checker = self._by_class[type(request)] = self._checker(cast(Descriptor, request.DESCRIPTOR))
        found: Found = []
        checker(request, "", found)
        if found:
            raise BadField(*found[:_MOST])

    def _checker(self, kind: Descriptor) -> _Checker:
        known = self._checkers.get(kind.full_name)
        if known is not None:
            return known
        checker = self._checkers[kind.full_name] = _Checker()
        update = update_of(kind)
        fields = [field for field in kind.fields if update is None or field.name not in _covered(update)]
        checker.plain = tuple(
            (field.name, rule.check)
            for field in fields
            if not field.is_repeated and not field.has_presence and (rule := self._rule(field)) is not None
        )
        steps = [step for field in fields if (step := self._step(field)) is not None]
        if kind.full_name.startswith(PACKAGE):
            steps += [_one_of(oneof.name) for oneof in kind.oneofs if not oneof.name.startswith("_")]
        if update is not None:
            steps.append(self._update(kind, update))
        checker.steps = tuple(steps)
        return checker

    def _rule(self, field: FieldDescriptor) -> Rule | None:
        rule = rule_of(field)
        return replace(rule, local=self._local_origins) if isinstance(rule, Origin) else rule

    def _step(self, field: FieldDescriptor) -> Step | None:
        """The check of a field that is more than one plain value; None for one that is not."""
        rule = self._rule(field)
        if field.is_repeated:
            return self._list(field, rule)
        if not field.has_presence:
            return None
        inner = self._inner(field)
        name, required = field.name, isinstance(rule, Required)

        def step(message: Any, prefix: str, found: Found) -> None:
            if not message.HasField(name):
                if required:
                    found.append(Violation(prefix + name, "is required"))
                return
            value = getattr(message, name)
            if rule is not None and (wrong := rule.check(value)) is not None:
                found.append(Violation(prefix + name, wrong))
            elif inner is not None:
                inner(value, f"{prefix}{name}.", found)

        return step if rule is not None or inner is not None else None

    def _list(self, field: FieldDescriptor, rule: Rule | None) -> Step:
        name = field.name
        each = rule.each if isinstance(rule, Items) else None
        is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
        inner = None if is_map else self._inner(field)

        def step(message: Any, prefix: str, found: Found) -> None:
            values = getattr(message, name)
            if rule is not None and (wrong := rule.check(values)) is not None:
                found.append(Violation(prefix + name, wrong))
                return
            for index, value in enumerate(values):
                if each is not None and (wrong := each.check(value)) is not None:
                    found.append(Violation(f"{prefix}{name}[{index}]", wrong))
                elif inner is not None:
                    inner(value, f"{prefix}{name}[{index}].", found)

        return step

    def _inner(self, field: FieldDescriptor) -> _Checker | None:
        kind = field.message_type
        if kind is None or kind.full_name in _WHOLE:
            return None
        return self._checker(kind)

    def _update(self, kind: Descriptor, update: Update) -> Step:
        fields = cast("Descriptor", kind.fields_by_name[update.resource].message_type).fields_by_name
        steps: dict[str, Step] = {path: self._one(fields[path]) for path in update.paths}
        key = self._one(fields[update.key]) if update.key else None

        def step(message: Any, prefix: str, found: Found) -> None:
            resource, inside = getattr(message, update.resource), f"{prefix}{update.resource}."
            if update.key and not getattr(resource, update.key):
                found.append(Violation(inside + update.key, "is required"))
            elif key is not None:
                key(resource, inside, found)
            paths = message.update_mask.paths
            if not paths:
                found.append(Violation(prefix + MASK, f"must name one of {', '.join(update.paths)}"))
            elif len(paths) > Items().high or not steps.keys() >= set(paths):
                found.append(Violation(prefix + MASK, f"may name only {', '.join(update.paths)}"))
            for path, check in steps.items():
                if path in paths:
                    check(resource, inside, found)

        return step

    def _one(self, field: FieldDescriptor) -> Step:
        """The check of one field alone, whatever it is."""
        step = self._step(field)
        rule = self._rule(field)

        def plain(message: Any, prefix: str, found: Found) -> None:
            if rule is not None and (wrong := rule.check(getattr(message, field.name))) is not None:
                found.append(Violation(prefix + field.name, wrong))

        return step or plain


def _covered(update: Update) -> tuple[str, str]:
    return update.resource, MASK


def _one_of(name: str) -> Step:
    def step(message: Any, prefix: str, found: Found) -> None:
        if message.WhichOneof(name) is None:
            found.append(Violation(prefix + name, "is required: set one of its fields"))

    return step
