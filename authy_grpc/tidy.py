"""Cleans values of the environment as compose and env files write them: quotes, byte order marks, `~`."""

import os
from collections.abc import MutableMapping

PREFIX = "AUTHY_"
_AROUND = "\ufeff\u200b \t\r\n\v\f\u00a0"
_QUOTES = ('""', "''", "\u201c\u201d", "\u2018\u2019")


def tidy(text: str) -> str:
    """Drops white space, a byte order mark and quotes around a value, and expands a leading `~`."""
    text = text.strip(_AROUND)
    while len(text) > 1 and text[0] + text[-1] in _QUOTES:
        text = text[1:-1].strip(_AROUND)
    return os.path.expanduser(text) if text.startswith("~") else text


def tidy_environment(environment: MutableMapping[str, str]) -> None:
    """Cleans this project's variables in place, and unsets those that are empty (`${NAME:-}`)."""
    for name in [name for name in environment if name.startswith(PREFIX)]:
        value = tidy(environment[name])
        if not value:
            del environment[name]
        elif value != environment[name]:
            environment[name] = value
