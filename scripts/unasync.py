"""Writes the synchronous client and its watchers from the asynchronous ones.

`--check` writes nothing, and tells whether they are fresh.

What differs by more than words stands in `async_channel.py` and `sync_channel.py`, which are written by hand.
"""

import re
import subprocess
import sys
from pathlib import Path

CLIENT = Path(__file__).parents[1] / "authy_grpc/client"
MADE = {"async_client.py": "sync_client.py", "async_watch.py": "sync_watch.py"}
# In order. What is found nowhere is an error: it has been forgotten here.
PHRASES = (
    (
        """good for many tasks of one event loop, in which it must be made.

    Close it, or use it in an `async with`. A watcher that is left before its end is closed by
    `contextlib.aclosing`, or some time later by the event loop.
""",
        """good for many threads. Close it, or use it in a `with`.

    Under gevent (`gunicorn -k gevent`) grpc must be told, or a call holds all greenlets: after
    `monkey.patch_all()` call `grpc.experimental.gevent.init_gevent()`. A client that is made without warns.
""",
    ),
    ("as async iterators", "as plain iterators"),
    ("the async client", "the sync client"),
    ("The async client", "The sync client"),
    ("import asyncio\n", ""),
    ("asyncio.sleep", "time.sleep"),
    ("async_", "sync_"),
    ("async def ", "def "),
    ("async with ", "with "),
    ("async for ", "for "),
    ("await ", ""),
    ("aclosing", "closing"),
    ("__aenter__", "__enter__"),
    ("__aexit__", "__exit__"),
    ("aio_channel()", "channel()"),
    ("grpc.aio.", "grpc."),
    (", Awaitable, ", ", "),
)
PATTERNS = (
    (r"\bAsyncGenerator\[(\w+), None\]", r"Generator[\1, None, None]"),
    (r"\bAsyncGenerator\b", "Generator"),
    (r"\bAwaitable\[(\w+)\]", r"\1"),
    (r"\bAsync(Client|Channel|Stream)\b", r"\1"),
)


def main() -> int:
    """1 where `--check` finds a file that is not fresh."""
    check, stale = "--check" in sys.argv[1:], 0
    for name, text in made({name: (CLIENT / name).read_text() for name in MADE}).items():
        path = CLIENT / name
        if path.exists() and path.read_text() == text:
            continue
        stale += 1
        if check:
            print(f"{path.name} is not what its source makes: run `make fix`", file=sys.stderr)
        else:
            path.write_text(text)
    return int(check and stale > 0)


def made(sources: dict[str, str]) -> dict[str, str]:
    """The texts of the synchronous modules, by name.

    Raises:
        LookupError: a phrase is in none of the sources.
    """
    for phrase, _ in PHRASES:
        if not any(phrase in text for text in sources.values()):
            raise LookupError(f"{phrase!r} is in no source")
    return {
        MADE[name]: _formatted(f"# Made of {name} by scripts/unasync.py: edit that one.\n{_sync(text)}")
        for name, text in sources.items()
    }


def _sync(text: str) -> str:
    for phrase, plain in PHRASES:
        text = text.replace(phrase, plain)
    for pattern, plain in PATTERNS:
        text = re.sub(pattern, plain, text)
    return text


def _formatted(text: str) -> str:
    for command in (("check", "--select", "I", "--fix", "--quiet"), ("format", "--quiet")):
        ruff = [sys.executable, "-m", "ruff", *command, "--stdin-filename", str(CLIENT / "sync.py"), "-"]
        text = subprocess.run(ruff, input=text, capture_output=True, text=True, check=True).stdout
    return text


if __name__ == "__main__":
    sys.exit(main())
