"""Reads the web authenticator's files: types, SHA-256, gzip.

Two are made of the others: `sw.js` with the hashes that it installs by, and the page, which names all modules
that its scripts import, so that a phone asks for them at once and not one after the other.
"""

import gzip
import json
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

FOLDER = Path(__file__).parent
WORKER = "app/sw.js"
PAGE = "app/index.html"
# Its scripts, in their order.
SCRIPTS = ("app/early.js", "app/main.js")
# What a folder may hold beside these is no part of the pages.
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}
_INDEX = "index.html"
_IMPORT = re.compile(r"^import\b[^;]*?'(\.{1,2}/[^']+)';", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class File:
    """One file as it is served.

    Attributes:
        name: below `gateway/web/`, such as `app/main.js`.
        body: its bytes.
        packed: the same by gzip; None where that is no smaller.
        sha256: of the bytes, as hex digits.
    """

    name: str
    body: bytes = field(repr=False)
    packed: bytes | None = field(repr=False)
    sha256: str

    @classmethod
    def of(cls, name: str, body: bytes) -> "File":
        """The file, packed and hashed."""
        # Without a time, so that the same bytes are packed the same.
        packed = gzip.compress(body, 9, mtime=0)
        return cls(name, body, packed if len(packed) < len(body) else None, sha256(body).hexdigest())

    @property
    def type(self) -> str:
        """Its media type."""
        return _TYPES[Path(self.name).suffix]

    @property
    def path(self) -> str:
        """Where it is served, below `/app/`: the page at the folder's own address."""
        return self.name.removeprefix("app/").removesuffix(_INDEX)


@cache
def served() -> tuple[File, ...]:
    """All files, in the order of their names. They are read once.

    Raises:
        FileNotFoundError: the decoder is not there: what is built brings it.
    """
    if not (FOLDER / "scan" / "qr" / "decode.js").is_file():
        raise FileNotFoundError("gateway/web/scan/qr: run `make setup`, which brings the QR decoder")
    found = {name: File.of(name, (FOLDER / name).read_bytes()) for name in _names()}
    found[PAGE] = File.of(PAGE, _page(found))
    found[WORKER] = File.of(WORKER, _worker(found))
    return tuple(found.values())


def total(files: tuple[File, ...]) -> str:
    """One SHA-256 over the list of hashes and names, as `sha256sum` would print it."""
    return sha256("".join(f"{each.sha256}  {each.name}\n" for each in files).encode()).hexdigest()


def _names() -> Iterator[str]:
    paths = (path for folder in ("app", "scan") for path in (FOLDER / folder).rglob("*"))
    names = (path.relative_to(FOLDER).as_posix() for path in paths if path.is_file())
    return iter(sorted(name for name in names if Path(name).suffix in _TYPES))


def _page(files: dict[str, File]) -> bytes:
    """The page, which names the modules that its scripts import, those of the first script first."""
    before, head, after = files[PAGE].body.partition(b"</head>\n")
    links = (f'<link rel="modulepreload" href="{files[each].path}">\n' for each in imported(files))
    return before + "".join(links).encode() + head + after


def imported(files: dict[str, File]) -> list[str]:
    """All modules that the page's scripts import before they run."""
    found = list[str]()
    for script in SCRIPTS:
        waiting = [script]
        for name in waiting:
            for told in _IMPORT.findall(files[name].body.decode()):
                module = posixpath.normpath(posixpath.join(posixpath.dirname(name), told))
                if module not in waiting:
                    waiting.append(module)
        found += [each for each in waiting[1:] if each not in found]
    return found


def _worker(files: dict[str, File]) -> bytes:
    """The worker: the list of hashes that it installs by, and its body. A new list is a new worker."""
    listed = [each for each in files.values() if each.name.startswith("app/") and each.name != WORKER]
    values = {
        "VERSION": total(tuple(listed)),
        "FILES": {each.path: each.sha256 for each in listed},
        # What the page needs to tell its release and to hash all of it.
        "RELEASE": version("authy-grpc"),
        "BESIDE": [each.path for each in files.values() if each.name.startswith("scan/")],
    }
    head = (
        "".join(f"const {name} = {json.dumps(value, indent=1)};\n" for name, value in values.items()) + "\n"
    )
    return head.encode() + files[WORKER].body
