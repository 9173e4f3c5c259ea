"""Who the interactive documentation signs in.

The sample user, under a secret of the service's own.
"""

import asyncio
import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from tests.harness import SECRET
from todo_api.routes.docs import serve_docs
from todo_api.settings import Settings
from todo_api.tokens import SAMPLE_USER, sample_token


def sample(page: str) -> Any:
    """What the page's script is told of the sample user."""
    found = re.search(r'<body data-sample="(.*)">', page)
    assert found is not None
    return json.loads(unescape(found[1]))


def page(secret: SecretStr | None) -> str:
    """The page, signing in under this secret."""
    app = FastAPI(openapi_url=None, docs_url=None)
    serve_docs(app, sample_secret=secret)

    async def fetch() -> str:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://todo.test") as client:
            return (await client.get("/docs")).text

    return asyncio.run(fetch())


def settings(directory: Path, **given: Any) -> Settings:
    """Settings that nothing but ``given`` has a say in."""
    return Settings(**{"_env_file": None, "data_dir": directory, **given})


def test_sample_token_is_the_sample_users_for_a_week() -> None:
    claims = jwt.decode(sample_token(SecretStr(SECRET)), SECRET, algorithms=["HS256"])

    assert claims["sub"] == SAMPLE_USER
    assert claims["exp"] - claims["iat"] == 7 * 24 * 3600


def test_page_with_a_sample_secret_signs_the_sample_user_in() -> None:
    told = sample(page(SecretStr(SECRET)))

    assert told["user"] == SAMPLE_USER
    assert jwt.decode(told["token"], SECRET, algorithms=["HS256"])["sub"] == SAMPLE_USER
    assert SECRET not in page(SecretStr(SECRET))


def test_page_without_a_sample_secret_signs_nobody_in() -> None:
    assert sample(page(None)) is None


def test_sample_secret_is_the_generated_one(tmp_path: Path) -> None:
    assert settings(tmp_path).sample_secret() == SecretStr((tmp_path / "secret").read_text())


def test_sample_secret_survives_the_hand_over_to_a_worker(tmp_path: Path) -> None:
    worker = settings(tmp_path, embedded_database_url="postgresql://postgres@/postgres?host=/run/todo")

    assert worker.zero_configuration
    assert worker.sample_secret() == settings(tmp_path).sample_secret()


@pytest.mark.parametrize(
    "given",
    [
        {"better_auth_secret": SECRET},
        {"database_url": "postgresql://localhost/todo", "better_auth_secret": SECRET},
        {"database_url": "postgresql://localhost/todo", "better_auth_url": "https://app.example.com"},
    ],
)
def test_given_secret_or_database_has_no_sample_secret(given: dict[str, str], tmp_path: Path) -> None:
    assert settings(tmp_path, **given).sample_secret() is None
    assert not (tmp_path / "secret").exists()


def test_database_on_the_network_is_no_embedded_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="DATABASE_URL is for a database of yours"):
        settings(tmp_path, embedded_database_url="postgresql://u:p@db.example.com/todo")
