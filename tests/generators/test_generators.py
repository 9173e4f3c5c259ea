"""Clients that orval and hey-api generate from the OpenAPI document compile, and their users."""

import shutil
from pathlib import Path

import pytest

from tests.clients.node import ROOT, node

HERE = Path(__file__).parent
TOOLS = HERE / "node_modules" / ".bin"
DOCUMENT = ROOT / "clients" / "openapi.json"

# As a bundler's project is checked; "bundler" because generated modules import each other without a
# suffix.
STRICT = (
    *("--strict", "--noEmit", "--target", "es2022", "--lib", "es2022,dom,dom.iterable"),
    *("--module", "esnext", "--moduleResolution", "bundler"),
)

pytestmark = pytest.mark.skipif(
    not TOOLS.is_dir(), reason="needs orval and hey-api: make generators installs them, 90 MB"
)


def run_tool(name: str, *arguments: str | Path) -> None:
    """Run orval, hey-api's openapi-ts, or tsc until it ends well."""
    node(TOOLS / name, *arguments, packages=HERE)


def test_client_of_orval_compiles(tmp_path: Path) -> None:
    shutil.copy(HERE / "orval.ts", tmp_path)

    run_tool("orval", "--input", DOCUMENT, "--output", tmp_path / "generated" / "orval.ts", "--client", "fetch")

    run_tool("tsc", *STRICT, tmp_path / "orval.ts")


def test_client_of_hey_api_compiles(tmp_path: Path) -> None:
    shutil.copy(HERE / "hey-api.ts", tmp_path)

    run_tool("openapi-ts", "--input", DOCUMENT, "--output", tmp_path / "generated" / "hey-api")

    run_tool("tsc", *STRICT, tmp_path / "hey-api.ts")
