"""Owns every setting: environment `AUTHY_*` or a flag of the same name, its default and its meaning."""

import os
from pathlib import Path
from typing import Any, Self

from pydantic import NonNegativeInt, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from authy_grpc.domain.forwarded import Forwarding

_SECRETS = ("keyset", "operator_key", "gateway_key", "sms_url", "database_url")


class Settings(BaseSettings):
    """The settings of one process. A secret `X` may also be given as a file, `X_FILE`."""

    model_config = SettingsConfigDict(env_prefix="AUTHY_", frozen=True, extra="forbid")

    # Holds `data/` (the SQLite file) and `secrets/` (0700: keyset, operator and gateway key).
    home: Path = Path("authy-home")
    # `sqlite:///relative`, `sqlite:////absolute` or `postgresql://…`; empty: SQLite in `home`.
    database_url: SecretStr = SecretStr("")
    # Given by value, or read from `home`/secrets.
    keyset: SecretStr = SecretStr("")
    operator_key: SecretStr = SecretStr("")
    gateway_key: SecretStr = SecretStr("")
    # Where the service listens; `unix:PATH` is taken too.
    listen: str = "127.0.0.1:50051"
    http_listen: str = "127.0.0.1:8080"
    # Where Prometheus reads; empty: nowhere.
    metrics_listen: str = ""
    # Origin of QR links and pages; empty: `http://` and `http_listen`.
    public_url: str = ""
    # `console:`, `file:PATH`; empty: none, or `console:` with `dev`.
    sms_url: SecretStr = SecretStr("")
    # ISO codes of the countries that texts may go to, comma-separated; empty: all.
    sms_countries: str = ""
    # Codes an hour that callers without a credential may have sent, all together; 0: any number.
    sms_per_hour: NonNegativeInt = 1000
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    # Addresses and networks of proxies, and `unix:`, whose word on who calls is believed, comma-separated.
    trusted_proxies: str = ""
    # The one header in which they say it, such as `Forwarded`; empty: X-Forwarded-For.
    proxy_header: str = ""
    # Listen beyond loopback without TLS.
    insecure: bool = False
    # Whether grpcurl can ask what the service offers.
    reflection: bool = True
    # Development: texts go to the console, sites may have http origins on loopback.
    dev: bool = False

    @model_validator(mode="before")
    @classmethod
    def _read_files(cls, values: dict[str, Any]) -> dict[str, Any]:
        for name in _SECRETS:
            path = os.environ.get(f"AUTHY_{name.upper()}_FILE")
            if path and not values.get(name):
                values[name] = Path(path).read_text().strip()
        return values

    @model_validator(mode="after")
    def _check(self) -> Self:
        if bool(self.tls_cert) != bool(self.tls_key):
            raise ValueError("AUTHY_TLS_CERT and AUTHY_TLS_KEY go together: set both or neither.")
        _ = self.forwarding
        return self

    @property
    def forwarding(self) -> Forwarding:
        """Whose word on who calls is believed."""
        return Forwarding.read(self.trusted_proxies, self.proxy_header)

    @property
    def database(self) -> str:
        """The database's URL. It may hold a password."""
        return self.database_url.get_secret_value() or f"sqlite:///{self.home / 'data' / 'authy.db'}"

    @property
    def texts(self) -> str:
        """Where text messages go; empty for nowhere. It may hold a password."""
        return self.sms_url.get_secret_value() or ("console:" if self.dev else "")

    @property
    def origin(self) -> str:
        """The origin of QR links, without a slash at its end."""
        return (self.public_url or f"http://{self.http_listen}").rstrip("/")
