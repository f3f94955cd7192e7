"""The files that a site serves: small, and without what a strict policy would block."""

import gzip
import re

from authy_grpc.client.browser import path

_MOST = 4096


def test_an_element_is_small() -> None:
    for name in ("authy-site.js", "authy-site.css"):
        assert len(gzip.compress((path() / name).read_bytes(), mtime=0)) <= _MOST
    script = (path() / "authy-site.js").read_text()
    blocked = r"import|eval|Function\(|innerHTML|outerHTML|insertAdjacent|document\.write|\.style|console"
    assert re.search(blocked, "node.innerHTML = text")
    assert not re.search(blocked, script)
