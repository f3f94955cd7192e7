"""Writes the grpcurl command line that reaches a service as our own commands do."""

import shlex

from authy_grpc.cli import show
from authy_grpc.client.connect import Road, TlsFiles


def words(road: Road, files: TlsFiles, *, elsewhere: bool = False) -> tuple[str, str]:
    """The program with its options, and the address that follows them.

    Args:
        road: to the service.
        files: of certificates that the road was made of.
        elsewhere: whether it is pasted into another terminal.
    """
    found = [show.program("grpcurl", elsewhere=elsewhere)]
    if road.secure:
        if roots := files.ca or files.served:
            found += ["-cacert", shlex.quote(str(roots.path.resolve()))]
        if files.certificate and files.key:
            found += ["-cert", shlex.quote(str(files.certificate.path.resolve()))]
            found += ["-key", shlex.quote(str(files.key.path.resolve()))]
        if road.trust.name:
            found += ["-authority", shlex.quote(road.trust.name)]
    else:
        found.append("-plaintext")
    dial = road.target.dial
    if dial.startswith("unix:"):
        found.append("-unix")
        dial = dial.removeprefix("unix:")
    return " ".join(found), shlex.quote(dial)
