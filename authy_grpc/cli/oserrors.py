"""Explains what the operating system refuses (rights, space, missing files) by the user's own settings."""

import errno
import os
from pathlib import Path

_OWN = "The user that runs this must be allowed to (chown, chmod), also on a volume that another one has made"
_MENDS = {
    errno.EACCES: _OWN,
    errno.EPERM: _OWN,
    errno.EROFS: "It lies on what can only be read: mount it for writing",
    errno.ENOSPC: "Make room on that disk",
    errno.EDQUOT: "Make room: the quota of this user is used up",
    errno.EFBIG: "Raise the limit on the size of files (ulimit -f)",
    errno.EMFILE: "Raise the limit on open files (ulimit -n)",
    errno.ENFILE: "Raise the system's limit on open files",
    errno.ENOENT: "Make it",
    errno.EISDIR: "It is a folder: name a file",
    errno.ENOTDIR: "A file stands where a folder should: name a folder",
    errno.EEXIST: "Something else stands there: move it away",
    errno.ELOOP: "Its links lead in a circle: fix them",
    errno.ENAMETOOLONG: "Name a shorter path",
    errno.EIO: "Look at that disk",
    errno.ESTALE: "Mount that file system anew",
}


class Failure(Exception):
    """A command cannot go on, as may happen.

    Attributes:
        text: what is wrong.
        mend: what to do; may be empty.
    """

    def __init__(self, text: str, mend: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.mend = mend


def of_the_system(error: OSError) -> Failure:
    """What to tell of a refusal of the system: the path, the system's words, and which setting names it."""
    words = error.strerror or str(error) or type(error).__name__
    path = error.filename2 or error.filename
    mend = _MENDS.get(error.errno or 0, "")
    if not isinstance(path, str | bytes | os.PathLike) or not path:
        return Failure(f"{words}.", f"{mend}." if mend else "")
    shown = os.fsdecode(path)
    setting = _setting(shown)
    if setting:
        mend = f"{mend}, or set {setting} to another path" if mend else f"Set {setting} to another path"
    return Failure(f"{shown}: {words}.", f"{mend}." if mend else "")


def _setting(path: str) -> str:
    """The setting whose value leads to a path; the longest, where several do."""
    absolute = Path(path).absolute()
    found = {name: _path(value) for name, value in os.environ.items() if name.startswith("AUTHY_") and value}
    found.setdefault("AUTHY_HOME", Path("authy-home").absolute())
    leading = [name for name, each in found.items() if each is not None and absolute.is_relative_to(each)]
    if leading:
        return max(leading, key=lambda name: len(str(found[name])))
    # A folder above what a setting names may be what is missing.
    above = [name for name, each in found.items() if each is not None and each.is_relative_to(absolute)]
    return above[0] if len(above) == 1 else ""


def _path(value: str) -> Path | None:
    for prefix in ("sqlite:///", "file:", "unix:"):
        value = value.removeprefix(prefix)
    if "://" in value or "\0" in value:
        return None
    return Path(value).absolute() if "/" in value else None
