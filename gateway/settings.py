"""Settings of the gateway: environment `AUTHY_*` or a flag of the same name, defaults and meanings."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from authy_grpc.domain.forwarded import Forwarding, Network
from authy_grpc.environment import Environment, origin, require_both
from authy_grpc.tidy import tidy


class GatewaySettings(Environment):
    """The settings of one gateway."""

    http_listen: str = "127.0.0.1:8080"
    # Seconds that a connection is kept without a request: more than the 60 of common load balancers, since a
    # request that meets the end of its connection gets a 502 from them.
    http_keep_alive: Annotated[float, Field(ge=1, le=3600)] = 75.0
    # PEM files of what it shows, its own certificate first; none: clear text, behind a proxy that does TLS.
    http_tls_cert: Path | None = None
    http_tls_key: Path | None = None
    # The core believes what this gateway says of a caller's address only with it.
    gateway_key: SecretStr = SecretStr("")
    # Addresses and networks of proxies whose word on who calls is believed, comma-separated.
    trusted_proxies: str = ""
    # The one header in which they say it, such as `Forwarded`; empty: X-Forwarded-For.
    proxy_header: str = ""
    # Origins whose pages may call, comma-separated; `*`: any. Empty: none.
    cors_origins: str = ""
    # The origin that people open the web authenticator at; empty: any of loopback.
    public_url: str = ""

    @field_validator("public_url")
    @classmethod
    def _read_origin(cls, value: str) -> str:
        return origin(value) if value else value

    @model_validator(mode="after")
    def _check(self) -> Self:
        _ = self.forwarding
        require_both(self, "http_tls_cert", "http_tls_key")
        try:
            _ = self.origins
        except ValueError as error:
            raise ValueError(f"AUTHY_CORS_ORIGINS: {error}, or `*`, with commas between") from None
        return self

    @property
    def forwarding(self) -> Forwarding:
        """Whose word on who calls is believed."""
        return Forwarding.read(self.trusted_proxies, self.proxy_header)

    @property
    def proxies(self) -> tuple[Network, ...]:
        """The networks of the proxies."""
        return self.forwarding.networks

    @property
    def origins(self) -> tuple[str, ...]:
        """The origins that may call from a browser."""
        return tuple(each if each == "*" else origin(each) for each in _listed(self.cors_origins))


def _listed(text: str) -> tuple[str, ...]:
    return tuple(tidied for each in text.split(",") if (tidied := tidy(each.strip("\"' "))))
