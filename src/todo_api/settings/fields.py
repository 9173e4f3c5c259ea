"""Everything that can be set, how it is checked, and what follows from it.

Secrets are ``SecretStr``, so that no log, traceback or ``repr`` shows them. With ``DATABASE_URL``
unset the service runs with zero configuration: on an embedded PostgreSQL, with a secret of its own.
"""

from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from todo_api.settings.database_url import is_pooled, normalise
from todo_api.settings.secret import check_secret, sample_secret
from todo_api.settings.web_address import as_browsers_send, check_address, is_private_or_https, origin_of

ENV_FILE = ".env"


class Settings(BaseSettings):
    """Everything that can be set, each field named like its environment variable.

    Raises:
        pydantic.ValidationError: a value is missing or unusable; ``explain`` turns it into a
            sentence.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        env_file=ENV_FILE,
        env_file_encoding="utf-8-sig",
        env_ignore_empty=True,
        extra="ignore",
        hide_input_in_errors=True,
    )

    database_url: SecretStr | None = Field(
        None, description="PostgreSQL URL, as Neon prints it. Unset: an embedded PostgreSQL under DATA_DIR."
    )
    migration_database_url: SecretStr | None = Field(
        None, description="direct (not pooled) PostgreSQL URL for migrations. Unset: DATABASE_URL."
    )
    database_pooler: bool | None = Field(
        None,
        description="true behind PgBouncer in transaction mode: nothing is prepared on the server. "
        "Unset: true when the host name contains -pooler.",
    )
    database_citus: bool = Field(
        default=False,
        description="true where `todo-api migrate --distribute` has distributed the tables over a Citus cluster; "
        "DATABASE_URL names its coordinator.",
    )
    database_connections: int = Field(4, ge=1, le=100, description="connections per worker, at most.")
    database_connect_timeout_seconds: int = Field(
        15, ge=2, le=60, description="how long one attempt to connect may take; a database that wakes up needs it."
    )
    database_wait_seconds: float = Field(
        4.5, gt=0, le=60, description="how long a request waits for the database before it answers 503."
    )
    statement_timeout_milliseconds: int = Field(
        3000, ge=1, le=60_000, description="how long one statement may run inside PostgreSQL."
    )
    database_pending_limit: int = Field(
        4096, ge=1, description="statements under way per worker; a request beyond them answers 503."
    )
    better_auth_secret: SecretStr | None = Field(
        None, description="the secret that Better Auth signs with, at least 32 bytes. Verifies HS256 tokens."
    )
    better_auth_url: str | None = Field(
        None, description="Better Auth's base URL. Its JWKS is used, and names what iss and aud must be."
    )
    better_auth_jwks_url: str | None = Field(
        None, description="address of the JWKS. Unset: /api/auth/jwks under BETTER_AUTH_URL."
    )
    better_auth_allow_http: bool = Field(
        default=False, description="true fetches the JWKS over plain http from a public host name as well."
    )
    better_auth_issuer: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="what a token's iss may be, comma-separated. Unset: the origin of BETTER_AUTH_URL."
    )
    better_auth_audience: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="what a token's aud may be, comma-separated. Unset: the origin of BETTER_AUTH_URL."
    )
    cors_origins: Annotated[tuple[str, ...] | None, NoDecode] = Field(
        None,
        description="exact origins of the front ends, comma-separated. Unset: none; "
        "http://localhost:3000 while DATABASE_URL is unset.",
    )
    docs: bool = Field(default=True, description="false serves neither /docs nor /openapi.json.")
    metrics_port: int | None = Field(
        None, ge=0, le=65535, description="port of its own for /metrics; 0: no metrics. Unset: /metrics on PORT."
    )
    log_level: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR.")
    host: str = Field("127.0.0.1", description="address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on.")
    web_concurrency: int = Field(1, ge=1, le=256, description="worker processes.")
    request_limit: int = Field(
        768, ge=0, description="requests worked on at once per worker, 64 of one user; others wait. 0: no limit."
    )
    client_seconds: float = Field(
        20.0, gt=0, le=60, description="how long a client may take to send a request, or to begin to take an answer."
    )
    keep_alive_seconds: float = Field(75.0, gt=0, le=86_400, description="how long an idle connection stays open.")
    shutdown_grace_seconds: int = Field(
        20, ge=1, le=600, description="how long requests under way may take to finish after SIGTERM."
    )
    data_dir: Path = Field(Path(".data"), description="where the embedded PostgreSQL and its secret are stored.")
    otel_exporter_otlp_endpoint: str | None = Field(
        None, description="base URL of an OpenTelemetry collector (OTLP over HTTP) for traces. Unset: no traces."
    )
    embedded_database_url: str | None = Field(
        None, description="where the embedded PostgreSQL listens; `todo-api serve` tells its workers. Not to be set."
    )

    @field_validator("cors_origins", "better_auth_issuer", "better_auth_audience", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(item.strip() for item in value.split(",") if item.strip())
        return value

    @field_validator("cors_origins")
    @classmethod
    def _check_origins(cls, origins: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if origins is None else tuple(map(as_browsers_send, origins))

    @field_validator("log_level")
    @classmethod
    def _check_level(cls, level: str) -> str:
        if level.upper() not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
            raise ValueError("must be DEBUG, INFO, WARNING or ERROR")
        return level.upper()

    @field_validator("database_url", "migration_database_url")
    @classmethod
    def _check_url(cls, url: SecretStr | None) -> SecretStr | None:
        if url is None:
            return None
        return SecretStr(normalise(url.get_secret_value()))

    @field_validator("embedded_database_url")
    @classmethod
    def _check_socket(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith("postgresql://postgres@/postgres?host=/"):
            raise ValueError("is not to be set; DATABASE_URL is for a database of yours")
        return url

    @field_validator("better_auth_secret")
    @classmethod
    def _check_secret(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is None:
            return None
        check_secret(secret.get_secret_value())
        return secret

    @field_validator("otel_exporter_otlp_endpoint")
    @classmethod
    def _check_tracing(cls, endpoint: str | None) -> str | None:
        if endpoint is not None and find_spec("opentelemetry.sdk") is None:
            raise ValueError(
                "is set, so the extra otel must be installed: `.venv/bin/pip install -e '.[otel]'` in the repository"
            )
        return endpoint

    @field_validator("better_auth_url", "better_auth_jwks_url", "otel_exporter_otlp_endpoint")
    @classmethod
    def _check_web_address(cls, url: str | None) -> str | None:
        if url is not None:
            check_address(url)
        return url

    @field_validator("data_dir")
    @classmethod
    def _expand_home(cls, directory: Path) -> Path:
        with suppress(RuntimeError):  # a user without a home: the name is taken as it is
            return directory.expanduser()
        return directory

    @model_validator(mode="after")
    def _require_a_key(self) -> Self:
        if self.database_url is not None and self.better_auth_secret is None and self.jwks_url is None:
            raise ValueError(
                "DATABASE_URL is set, so BETTER_AUTH_URL (or BETTER_AUTH_JWKS_URL) or BETTER_AUTH_SECRET must be set too"
            )
        if self.jwks_url is not None and not (self.issuers and self.audiences):
            raise ValueError(
                "BETTER_AUTH_JWKS_URL is set, so BETTER_AUTH_URL, or BETTER_AUTH_ISSUER and BETTER_AUTH_AUDIENCE, "
                "must be set too"
            )
        if self.jwks_url is not None and not (self.better_auth_allow_http or is_private_or_https(self.jwks_url)):
            raise ValueError(
                "The JWKS's address must begin with https://; BETTER_AUTH_ALLOW_HTTP=true allows plain http"
            )
        return self

    @property
    def zero_configuration(self) -> bool:
        """Whether the service starts an embedded database."""
        return self.database_url is None

    @property
    def pooled(self) -> bool:
        """Whether a transaction pooler stands in front of the database."""
        if self.database_pooler is not None or self.database_url is None:
            return bool(self.database_pooler)
        return is_pooled(self.database_url.get_secret_value())

    @property
    def allowed_origins(self) -> tuple[str, ...]:
        """Origins that browsers may call from."""
        if self.cors_origins is None:
            return ("http://localhost:3000",) if self.zero_configuration else ()
        return self.cors_origins

    @property
    def jwks_url(self) -> str | None:
        """Where the JWKS is, if there is one.

        A base URL with a path is Better Auth's own mount point.
        """
        if self.better_auth_jwks_url is not None or self.better_auth_url is None:
            return self.better_auth_jwks_url
        base = self.better_auth_url.rstrip("/")
        return f"{base}/jwks" if urlsplit(base).path else f"{base}/api/auth/jwks"

    @property
    def issuers(self) -> tuple[str, ...]:
        """What ``iss`` may be."""
        return self.better_auth_issuer or self._origin

    @property
    def audiences(self) -> tuple[str, ...]:
        """What ``aud`` may be."""
        return self.better_auth_audience or self._origin

    @property
    def _origin(self) -> tuple[str, ...]:
        """Better Auth's origin, which is what its tokens name."""
        return () if self.better_auth_url is None else (origin_of(self.better_auth_url),)

    def signing_secret(self) -> SecretStr | None:
        """``BETTER_AUTH_SECRET``.

        With zero configuration, one generated once and stored under ``data_dir``.
        """
        return self.sample_secret() or self.better_auth_secret

    def sample_secret(self) -> SecretStr | None:
        """What may sign a token for anybody who opens ``/docs``.

        The generated secret, never one that was given.
        """
        if self.better_auth_secret is None and self.zero_configuration:
            return SecretStr(sample_secret(self.data_dir / "secret"))
        return None
