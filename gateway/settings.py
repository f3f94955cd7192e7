"""Owns the gateway's settings: environment `AUTHY_*` or a flag of the same name, default and meaning."""

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

Network = IPv4Network | IPv6Network


class GatewaySettings(BaseSettings):
    """The settings of one gateway."""

    model_config = SettingsConfigDict(env_prefix="AUTHY_", frozen=True, extra="ignore")

    http_listen: str = "127.0.0.1:8080"
    # Seconds that a connection is kept without a request: more than the 60 of common load balancers, since a
    # request that meets the end of its connection gets a 502 from them.
    http_keep_alive: Annotated[float, Field(ge=1, le=3600)] = 75.0
    # The core believes what this gateway says of a caller's address only with it.
    gateway_key: SecretStr = SecretStr("")
    # Addresses and networks whose X-Forwarded-For is believed, comma-separated.
    trusted_proxies: str = ""
    # Origins whose pages may call, comma-separated; `*`: any. Empty: none.
    cors_origins: str = ""

    @model_validator(mode="after")
    def _check(self) -> Self:
        try:
            _ = self.proxies
        except ValueError:
            raise ValueError(
                "AUTHY_TRUSTED_PROXIES: write addresses or networks such as 10.0.0.0/8, with commas between"
            ) from None
        return self

    @property
    def proxies(self) -> tuple[Network, ...]:
        """The networks of the proxies."""
        return tuple(ip_network(each) for each in _listed(self.trusted_proxies))

    @property
    def origins(self) -> tuple[str, ...]:
        """The origins that may call from a browser."""
        return _listed(self.cors_origins)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(each.strip() for each in text.split(",") if each.strip())
