"""Warns where gevent has patched the process and grpc was not told: a call would block every greenlet."""

import sys
import warnings


def warn() -> None:
    """Warns where sockets are gevent's and `grpc.experimental.gevent` was never imported."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None or not monkey.is_module_patched("socket"):
        return
    # grpc does not tell whether it was called; who calls it has imported it.
    if "grpc.experimental.gevent" not in sys.modules:
        warnings.warn(
            "gevent has patched this process and grpc does not know: a call or a watcher would hold all "
            "greenlets until it ends. After monkey.patch_all(), and before the first client: "
            "`import grpc.experimental.gevent as g; g.init_gevent()`",
            RuntimeWarning,
            # Of whoever makes the client, whose channel asks.
            stacklevel=4,
        )
