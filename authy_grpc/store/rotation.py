"""Rotates a keyset: each step takes the keyset's text, and answers the next one's.

First keys are added, so that every server can read by them, then they are made the primary ones, by
which is written; the old ones are dropped when nothing is left that was made by them alone.
"""

import json
from enum import Enum
from typing import Any

from authy_grpc.store.vault import KeysetError, new_keyset, read_keyset

# What these have made is known by its digest alone, so it cannot be made anew: their old keys stay. That
# betrays nothing: codes of 80 bits are not guessed, and requests are remembered for some days.
KEPT = ("request", "backup_code", "recovery_code")


class Stage(Enum):
    """How far a rotation is."""

    SETTLED = "settled"
    ADDED = "added"
    PROMOTED = "promoted"


def stage(text: str) -> Stage:
    """How far the rotation of a keyset is.

    Raises:
        KeysetError: the text is no keyset.
    """
    return _stage(_document(text))


def add_keys(text: str) -> str:
    """A new key for each purpose, by which nothing is written yet.

    Raises:
        KeysetError: the text is no keyset, or a rotation is under way.
    """
    document = _document(text)
    if _stage(document) is not Stage.SETTLED:
        raise KeysetError(
            "New keys were added before: go on with `authy-grpc keys promote`,"
            " or end that rotation with `authy-grpc keys reencrypt --drop-old`."
        )
    for name, keyset in document["keysets"].items():
        keyset["key"].append(_another(name, {each["keyId"] for each in keyset["key"]}))
    return _text(document)


def promote(text: str) -> str:
    """Make the newest keys the primary ones.

    Raises:
        KeysetError: the text is no keyset, or none were added to it.
    """
    document = _document(text)
    if _stage(document) is not Stage.ADDED:
        raise KeysetError("There are no new keys to promote: add them with `authy-grpc keys add`.")
    for keyset in document["keysets"].values():
        keyset["primaryKeyId"] = keyset["key"][-1]["keyId"]
    return _text(document)


def drop_old(text: str) -> str:
    """Drop all keys but the primary ones, and those whose digests cannot be made anew.

    Raises:
        KeysetError: the text is no keyset, or its newest keys were not promoted.
    """
    document = _document(text)
    if _stage(document) is not Stage.PROMOTED:
        raise KeysetError(
            "There are no old keys to drop: `authy-grpc keys add` and `keys promote` come before."
        )
    document["dropped"] = document.get("dropped", 0) + len(document["keysets"]["number"]["key"]) - 1
    for name, keyset in document["keysets"].items():
        if name not in KEPT:
            keyset["key"] = keyset["key"][-1:]
    return _text(document)


def _document(text: str) -> dict[str, Any]:
    read_keyset(text)
    document: dict[str, Any] = json.loads(text)
    return document


def _stage(document: dict[str, Any]) -> Stage:
    keyset = document["keysets"]["aead"]
    if len(keyset["key"]) == 1:
        return Stage.SETTLED
    return Stage.PROMOTED if keyset["key"][-1]["keyId"] == keyset["primaryKeyId"] else Stage.ADDED


def _another(name: str, taken: set[int]) -> Any:
    """A key of a purpose. Ids are drawn: once in four thousand million times one is there already."""
    while True:
        (key,) = json.loads(new_keyset())["keysets"][name]["key"]
        if key["keyId"] not in taken:
            return key


def _text(document: dict[str, Any]) -> str:
    text = json.dumps(document, indent=1)
    read_keyset(text)
    return text
