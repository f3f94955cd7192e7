"""Reads settings from the environment: their base class, values by file, and names that nobody knows."""

import os
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit

from pydantic import model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from authy_grpc.tidy import PREFIX, tidy

_MOST = 64 * 1024
_NO_ORIGIN = "write an origin with its scheme and without a path, such as https://auth.example.com"
_HOST = re.compile(
    r"(?:[a-z0-9_](?:[a-z0-9_-]{0,62})\.)*[a-z0-9_][a-z0-9_-]{0,62}\.?|[0-9a-f:.]*:[0-9a-f:.]*"
)
_PORTS = {"http": 80, "https": 443}
# What orchestrators set for a service called authy (Kubernetes, Docker links), and this project's tests.
_LINK = re.compile(r"AUTHY_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)")
_TESTS = ("AUTHY_TEST_", "AUTHY_REQUIRE_ALL")


class Environment(BaseSettings):
    """Settings `AUTHY_*`: an empty one is unset; all but paths may also be in a file, `AUTHY_*_FILE`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", env_ignore_empty=True)

    @model_validator(mode="before")
    @classmethod
    def _read(cls, values: dict[str, Any]) -> dict[str, Any]:
        read = {name: tidy(value) if isinstance(value, str) else value for name, value in values.items()}
        for name in cls.model_fields:
            path = tidy(os.environ.get(_name(name, "_FILE"), ""))
            if path and read.get(name) in (None, "") and not _is_path(cls, name):
                read[name] = _content(_name(name, "_FILE"), path)
        wrong = [text for name, value in read.items() if (text := _wrong(cls, name, value))]
        if wrong:
            raise ValueError("; ".join(wrong))
        return {name: value for name, value in read.items() if value != ""}

    @classmethod
    def names(cls) -> Iterator[str]:
        """The variables that are read."""
        for name in cls.model_fields:
            yield _name(name)
            if not _is_path(cls, name):
                yield _name(name, "_FILE")


def require_both(settings: Environment, one: str, other: str) -> None:
    """Ask whether two settings are both set, or neither.

    Raises:
        ValueError: one of them is.
    """
    if bool(getattr(settings, one)) != bool(getattr(settings, other)):
        raise ValueError(f"{_name(one)} and {_name(other)} go together: set both or neither.")


def origin(text: str) -> str:
    """The one spelling of a web origin: lower case, no slash at its end, no port that is the usual one.

    Raises:
        ValueError: it is none; without the text.
    """
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError(_NO_ORIGIN) from None
    plain = not (parts.path.strip("/") or parts.query or parts.fragment) and "@" not in parts.netloc
    if parts.scheme not in _PORTS or not plain or not _HOST.fullmatch(host) or port == 0:
        raise ValueError(_NO_ORIGIN)
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + ("" if port in (None, _PORTS[parts.scheme]) else f":{port}")


def unknown(environment: Mapping[str, str], known: set[str]) -> dict[str, str]:
    """This project's variables that nobody reads, each with the nearest that somebody does, or with ""."""
    found = sorted(
        name
        for name, value in environment.items()
        if name.startswith(PREFIX) and name.upper() not in known and not _is_of_others(name, value)
    )
    return {name: next(iter(get_close_matches(name.upper(), sorted(known), 1)), "") for name in found}


def _is_of_others(name: str, value: str) -> bool:
    is_link = _LINK.fullmatch(name) or (name.endswith("_PORT") and value.startswith(("tcp://", "udp://")))
    return bool(is_link) or name.startswith(_TESTS)


def _name(field: str, suffix: str = "") -> str:
    return f"{PREFIX}{field.upper()}{suffix}"


def _is_path(cls: type[Environment], name: str) -> bool:
    annotation = cls.model_fields[name].annotation
    return annotation is Path or Path in get_args(annotation)


def _content(name: str, path: str) -> str:
    """The value that a file holds; in errors no path that may be a secret put in the wrong place."""
    shown = path if path.startswith(("/", ".")) else "the file that it names"
    try:
        with open(path, encoding="utf-8-sig") as file:
            text = file.read(_MOST + 1)
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else "") or "it is no text in UTF-8"
        raise ValueError(f"{name}: {shown} cannot be read: {why}") from None
    if len(text) > _MOST or not (value := tidy(text)):
        raise ValueError(f"{name}: {shown} {'is too long' if len(text) > _MOST else 'is empty'}")
    return value


def _wrong(cls: type[Environment], name: str, value: Any) -> str:
    """What is wrong with a value whatever its setting; a keyset is JSON, on many lines perhaps."""
    if name not in cls.model_fields or not isinstance(value, str):
        return ""
    if not value.isprintable() and not value.startswith("{"):
        return f"{_name(name)} has characters that cannot be seen, or that are no text"
    if _is_path(cls, name) and value.startswith("~"):
        return f"{_name(name)} begins with ~ and a name that no user has"
    return ""
