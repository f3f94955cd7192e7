"""Settings of the service: environment `AUTHY_*` or a flag of the same name, defaults and meanings."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Self
from urllib.parse import quote

from pydantic import NonNegativeInt, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from authy_grpc.domain.forwarded import Forwarding
from authy_grpc.environment import Environment, origin, require_both
from authy_grpc.outbound.opened import Listeners, read_allowances


class Settings(Environment):
    """The settings of one process. What is no path may also be given as a file, `X_FILE`."""

    model_config = SettingsConfigDict(extra="forbid")

    # Holds `data/` (the SQLite file) and `secrets/` (0700: keyset, operator and gateway key).
    home: Path = Path("authy-home")
    # `sqlite:///relative`, `sqlite:////absolute` or `postgresql://…`; empty: SQLite in `home`.
    database_url: SecretStr = SecretStr("")
    # `postgresql://…` past a pooler, for LISTEN; empty: `database_url`.
    signals_url: SecretStr = SecretStr("")
    # Given by value, or read from `home`/secrets.
    keyset: SecretStr = SecretStr("")
    operator_key: SecretStr = SecretStr("")
    gateway_key: SecretStr = SecretStr("")
    # Where the service listens; `unix:PATH` is taken too.
    listen: str = "127.0.0.1:50051"
    http_listen: str = "127.0.0.1:8080"
    # What REST shows there; none: clear text.
    http_tls_cert: Path | None = None
    http_tls_key: Path | None = None
    # Where Prometheus reads; empty: nowhere.
    metrics_listen: str = ""
    # Origin of QR links and pages; empty: `http://`, or with a certificate `https://`, and `http_listen`.
    public_url: str = ""
    # `console:`, `file:PATH`; empty: none, or `console:` with `dev`.
    sms_url: SecretStr = SecretStr("")
    # ISO codes of the countries that texts may go to, comma-separated; empty: all.
    sms_countries: str = ""
    # Private hosts and networks that webhooks of one application may be posted to, comma-separated pairs:
    # `app_1=10.0.0.0/8,app_2=hooks.internal`. Of no other application, and of nothing else.
    webhook_allow: str = ""
    # Codes an hour that callers without a credential may have sent, all together; 0: any number.
    sms_per_hour: NonNegativeInt = 1000
    # A file that the audit trail is added to; empty: among the log of `serve`, for commands the system's log.
    audit_log: Path | None = None
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

    @field_validator("public_url")
    @classmethod
    def _read_origin(cls, value: str) -> str:
        return origin(value) if value else value

    @field_validator("database_url", "sms_url")
    @classmethod
    def _expand_home(cls, value: SecretStr) -> SecretStr:
        url = value.get_secret_value()
        scheme = next((each for each in ("sqlite:///~", "file:~") if url.startswith(each)), "")
        return SecretStr(scheme[:-1] + os.path.expanduser(url[len(scheme) - 1 :])) if scheme else value

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_both(self, "tls_cert", "tls_key")
        require_both(self, "http_tls_cert", "http_tls_key")
        _ = self.forwarding, self.allowances
        return self

    @property
    def forwarding(self) -> Forwarding:
        """Whose word on who calls is believed."""
        return Forwarding.read(self.trusted_proxies, self.proxy_header)

    @property
    def allowances(self) -> Mapping[str, tuple[str, ...]]:
        """What is open to the webhooks of each application."""
        try:
            return read_allowances(self.webhook_allow)
        except ValueError as error:
            raise ValueError(f"AUTHY_WEBHOOK_ALLOW: {error}.") from None

    @property
    def listeners(self) -> Listeners:
        """Where this installation listens, as far as this process knows."""
        return Listeners(self.listen, self.http_listen, self.metrics_listen)

    @property
    def database(self) -> str:
        """The database's URL. It may hold a password."""
        # Escaped: a folder may have % or ? in its name.
        own = quote(str(self.home / "data" / "authy.db"))
        return self.database_url.get_secret_value() or f"sqlite:///{own}"

    @property
    def texts(self) -> str:
        """Where text messages go; empty for nowhere. It may hold a password."""
        return self.sms_url.get_secret_value() or ("console:" if self.dev else "")

    @property
    def origin(self) -> str:
        """The origin of QR links, without a slash at its end."""
        return (self.public_url or f"{self.http_scheme}://{self.http_listen}").rstrip("/")

    @property
    def http_scheme(self) -> str:
        """By which the REST gateway is reached where nothing stands in front of it."""
        return "https" if self.http_tls_cert else "http"
