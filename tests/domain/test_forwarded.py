"""Who calls through proxies, in every form in which balancers write it."""

import pytest

from authy_grpc.domain.forwarded import UNIX, UNREADABLE, Forwarding, address, is_worth_a_line

XFF = Forwarding.read("10.0.0.0/8, 2001:db8:9::/48 unix:")
RFC = Forwarding.read("10.0.0.0/8", "Forwarded")
CALLER, V6 = "203.0.113.7", "2001:db8::7"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (CALLER, CALLER),
        (f" {CALLER}\t", CALLER),
        (f"{CALLER}:4711", CALLER),
        (f'"{CALLER}"', CALLER),
        (f'"{CALLER}:4711"', CALLER),
        (f"[{CALLER}]:1", CALLER),
        (f"::ffff:{CALLER}", CALLER),
        (f"[::FFFF:{CALLER}]:443", CALLER),
        (V6, V6),
        ("2001:DB8:0:0::7", V6),
        (f"[{V6}]", V6),
        (f"[{V6}]:443", V6),
        (f'"[{V6}]:443"', V6),
        (f'"[{V6}]:_hidden"', V6),
        ("2001:db8:0:0:0:0:0:7:443", V6),
        ("fe80::1%eth0", "fe80::1"),
        ("[fe80::1%25eth0]:1", "fe80::1"),
        ("unknown", ""),
        ("_hidden", ""),
        ("", ""),
        ("-", ""),
        ("010.1.1.1", ""),
        ("203.0.113.7.", ""),
        ("203.0.113", ""),
        ("example.org", ""),
        ("1\uff12.0.0.1", ""),
        ("127.0.0.1<script>", ""),
    ],
)
def test_an_address_is_read_in_every_form(text: str, found: str) -> None:
    assert address(text) == found


@pytest.mark.parametrize(
    ("peer", "lines", "found"),
    [
        # Whoever is no proxy is not believed.
        (CALLER, ["1.1.1.1"], CALLER),
        ("10.0.0.1", [CALLER], CALLER),
        # From the right: what the caller wrote itself is to the left.
        ("10.0.0.1", [f"1.1.1.1, {CALLER}"], CALLER),
        ("10.0.0.1", [f"10.0.0.7, {CALLER}, 10.0.0.2"], CALLER),
        # Several lines are one list.
        ("10.0.0.1", ["1.1.1.1", CALLER, "10.0.0.3, 10.0.0.2"], CALLER),
        ("2001:db8:9::1", [f"[{V6}]:1"], V6),
        (UNIX, [CALLER], CALLER),
        ("10.0.0.1", [f"1.1.1.1, {CALLER}, unix:"], CALLER),
        # A balancer that asks for itself, as for health.
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["", " "], UNREADABLE),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["10.0.0.9"], "10.0.0.9"),
        # What cannot be read counts as one; what stands further left is not taken for it.
        ("10.0.0.1", [f"{CALLER}, unknown"], UNREADABLE),
        ("10.0.0.1", [f"{CALLER},"], UNREADABLE),
        ("10.0.0.1", [f"{CALLER}, unknown, 10.0.0.2"], UNREADABLE),
        ("", [CALLER], ""),
    ],
)
def test_the_caller_is_the_first_from_the_right_that_is_no_proxy(
    peer: str, lines: list[str], found: str
) -> None:
    assert XFF.caller(peer, lines) == found


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (f"for={CALLER}", CALLER),
        (f"For={CALLER};proto=https;by=10.0.0.1", CALLER),
        (f'proto=https; for="[{V6}]:4711"', V6),
        (f'for=1.1.1.1, for="{CALLER}:1"', CALLER),
        (f'for=1.1.1.1;host="a, for=2.2.2.2", for={CALLER};host="b, c"', CALLER),
        (f"for={CALLER}, for=10.0.0.2", CALLER),
        # Quotes that the caller has left open swallow nothing of what the proxy adds.
        (f'for="1.1.1.1, for={CALLER}', CALLER),
        (f'for="1.1.1.1", x=", for="[{V6}]:1"', V6),
        (f'x="\\, for={CALLER}', CALLER),
        ("for=unknown", UNREADABLE),
        (f"for={CALLER}, for=_proxy", UNREADABLE),
        (f"for={CALLER}, proto=https", UNREADABLE),
        (CALLER, UNREADABLE),
        ('for="', UNREADABLE),
    ],
)
def test_forwarded_is_read_as_rfc_7239_writes_it(line: str, found: str) -> None:
    assert RFC.caller("10.0.0.1", [line]) == found


def test_only_one_header_is_named() -> None:
    assert Forwarding.read("").header == "x-forwarded-for"
    assert Forwarding.read("", " CF-Connecting-IP ").header == "cf-connecting-ip"
    for bad in ("X-Forwarded-For:", "a, b", "a b", ":"):
        with pytest.raises(ValueError, match="AUTHY_PROXY_HEADER"):
            Forwarding.read("", bad)


def test_proxies_are_addresses_networks_and_unix() -> None:
    assert not Forwarding.read("")
    assert Forwarding.read("unix:").unix and not Forwarding.read("10.0.0.1").unix
    for text in ("10.0.0.1/8", "10.0.0.0/8,", "::ffff:10.0.0.0/104", "[fd00::1] 10.1.2.3/8"):
        assert Forwarding.read(text).caller("10.9.9.9", [CALLER]) == CALLER
    assert Forwarding.read("unix:").caller("10.9.9.9", [CALLER]) == "10.9.9.9"
    for bad in ("proxy.internal", "10.0.0.0/33", "*", "unix:/run/x"):
        with pytest.raises(ValueError, match="AUTHY_TRUSTED_PROXIES"):
            Forwarding.read(bad)


def test_long_junk_is_read_in_a_moment() -> None:
    for junk in ("," * 16_000, '"' * 16_000, ',"' * 8_000, 'for="' * 3_000, "for=10.0.0.1," * 1_000):
        assert RFC.caller("10.0.0.1", [junk]) in (UNREADABLE, "10.0.0.1")


def test_lines_grow_rare() -> None:
    assert [count for count in range(2_000) if is_worth_a_line(count)] == [1, 10, 100, 1000]
