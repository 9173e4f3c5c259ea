"""The house rules that a reader would otherwise have to check by eye."""

import ast
import importlib
import json
import pkgutil
import re
import tomllib
from pathlib import Path
from typing import Any, Literal, get_type_hints

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from sqlalchemy import Executable

import todo_api
from todo_api import queries
from todo_api.app import create_app
from todo_api.auth import Owner
from todo_api.db import compile_statement
from todo_api.settings import Settings

PACKAGE = Path(todo_api.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
SELDOM_NEEDED = {
    "alembic",
    "alembic.config",
    "alembic.util",
    "todo_api",  # migrations
    "todo_api.middleware.host",
    "todo_api.middleware.rejected",
    "todo_api.tokens.jwks_download",
}
PROTECTED = "/api/{user_id}"
STARTS: tuple[Literal["first", "cursor", "offset"], ...] = ("first", "cursor", "offset")
OF_NO_OWNER = {"TRANSACTION_PREAMBLE"}
STATEMENTS = {
    name: statement
    for name, statement in vars(queries).items()
    if isinstance(statement, Executable) and not name.startswith("_") and name not in OF_NO_OWNER
} | {
    f"list by {sort}, {descending=}, {by_search=}, {start}": queries.select_tasks(
        sort, descending=descending, by_completed=True, by_search=by_search, start=start
    )
    for sort in queries.SORT_KEYS
    for descending in (True, False)
    for by_search in (True, False)
    for start in STARTS
}
module = pytest.mark.parametrize("path", MODULES, ids=[str(path.relative_to(PACKAGE)) for path in MODULES])


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    """The service as it is put together; not started."""
    return create_app(
        Settings(
            _env_file=None,
            database_url="postgresql://localhost/todo",
            better_auth_secret="Zk3v9QmT7xLr2WbN8yHd5cJf1sGp4aEu",  # pragma: allowlist secret
            data_dir=tmp_path_factory.mktemp("data"),
        )
    )


def endpoints(app: FastAPI) -> dict[tuple[str, str], Any]:
    """The endpoint of each method and path."""
    return {
        (method, context.path): getattr(context, "endpoint", None)
        for context in iter_route_contexts(app.routes)
        if context.path
        for method in context.methods or ()
    }


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(path.read_text())
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


class TestRoutes:
    def test_protected_routes_are_the_documented_ones(self, app: FastAPI) -> None:
        protected = {(method, path) for method, path in endpoints(app) if path.startswith("/api")}

        assert protected - {("HEAD", path) for _, path in protected} == {
            ("GET", f"{PROTECTED}/tasks"),
            ("POST", f"{PROTECTED}/tasks"),
            ("GET", f"{PROTECTED}/tasks/{{id}}"),
            ("PUT", f"{PROTECTED}/tasks/{{id}}"),
            ("DELETE", f"{PROTECTED}/tasks/{{id}}"),
            ("PATCH", f"{PROTECTED}/tasks/{{id}}/complete"),
        }

    def test_every_protected_route_takes_the_owner(self, app: FastAPI) -> None:
        protected = {key: endpoint for key, endpoint in endpoints(app).items() if key[1].startswith(PROTECTED)}
        without = [
            key
            for key, endpoint in protected.items()
            if Owner not in get_type_hints(endpoint, include_extras=True).values()
        ]

        assert len(protected) >= 6
        assert without == []

    def test_no_endpoint_takes_a_raw_user_id(self, app: FastAPI) -> None:
        named = [
            key for key, endpoint in endpoints(app).items() if "user_id" in getattr(endpoint, "__annotations__", {})
        ]

        assert named == []

    def test_no_route_outside_the_guard_names_a_user(self, app: FastAPI) -> None:
        assert [path for _, path in endpoints(app) if "user" in path and not path.startswith(f"{PROTECTED}/")] == []


class TestStatements:
    def test_each_operation_has_one(self) -> None:
        assert set(STATEMENTS) >= {
            "SELECT_TASK",
            "INSERT_TASK",
            "INSERT_TASK_ONCE",
            "UPDATE_TASK",
            "UPDATE_UNCHANGED_TASK",
            "COMPLETE_TASK",
            "COMPLETE_UNCHANGED_TASK",
            "DELETE_TASK",
            "DELETE_UNCHANGED_TASK",
        }
        assert len(STATEMENTS) >= 9 + 36

    @pytest.mark.parametrize("name", STATEMENTS)
    def test_each_binds_its_owner(self, name: str) -> None:
        assert "owner" in compile_statement(STATEMENTS[name]).binds

    @pytest.mark.parametrize("name", STATEMENTS)
    def test_each_finds_tasks_through_the_owner_alone(self, name: str) -> None:
        statement = compile_statement(STATEMENTS[name])
        owner = f"${statement.binds.index('owner') + 1}::VARCHAR"
        sql = statement.sql.decode()
        looks = re.findall(r"(?:FROM|UPDATE) (?:tasks|idempotency_keys)\b", sql)
        through_owner = re.findall(rf"(?:tasks|idempotency_keys)\.user_id = {re.escape(owner)}", sql)

        assert len(through_owner) == len(looks)
        assert looks or name.startswith("INSERT")

    @pytest.mark.parametrize("name", ["INSERT_TASK", "INSERT_TASK_ONCE"])
    def test_new_task_is_the_owners(self, name: str) -> None:
        statement = compile_statement(STATEMENTS[name])
        owner = f"${statement.binds.index('owner') + 1}::VARCHAR"
        found = re.search(r"INSERT INTO tasks \(([^)]*)\) (?:VALUES \(|SELECT )(.*)", statement.sql.decode())
        assert found is not None
        column = found[1].split(", ").index("user_id")

        assert found[2].split(", ")[column].startswith(owner)


class TestModules:
    def test_there_are_some(self) -> None:
        assert len(MODULES) >= 15

    @module
    def test_module_is_under_300_lines(self, path: Path) -> None:
        assert len(path.read_text().splitlines()) < 300

    @module
    def test_functions_have_at_most_40_lines(self, path: Path) -> None:
        lengths = {node.name: (node.end_lineno or 0) - node.lineno + 1 for node in functions(path)}

        assert {name: length for name, length in lengths.items() if length > 40} == {}

    @module
    def test_nothing_but_what_is_slow_and_seldom_needed_is_imported_inside_a_function(self, path: Path) -> None:
        inside = {
            node.module if isinstance(node, ast.ImportFrom) else ast.unparse(node)
            for function in functions(path)
            for node in ast.walk(function)
            if isinstance(node, ast.Import | ast.ImportFrom)
        }

        assert inside <= SELDOM_NEEDED

    @module
    def test_module_begins_with_its_purpose(self, path: Path) -> None:
        assert ast.get_docstring(ast.parse(path.read_text()))

    @module
    def test_nothing_is_named_for_nothing_in_particular(self, path: Path) -> None:
        names = {path.stem, path.parent.name} | {
            node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)
        }
        vague = ("util", "helper", "manager", "common", "misc", "service")

        assert [name for name in names if any(word in name.lower() for word in vague)] == []

    @module
    def test_exception_is_caught_at_the_edge_alone(self, path: Path) -> None:
        caught = [
            ast.unparse(node.type) if node.type else "everything"
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ExceptHandler)
        ]
        broad = {"everything", "Exception", "BaseException"} & set(caught)

        edge = f"{path.parent.name}/{path.name}" in {
            "middleware/request.py",
            "middleware/errors.py",
            "server/response_cycle.py",
        }

        assert broad == ({"Exception"} if edge else set())

    @pytest.mark.parametrize("machinery", ["db", "planned", "server"])
    def test_machinery_is_forbidden_to_import_anything_else_of_the_package(self, machinery: str) -> None:
        project = tomllib.loads((PACKAGE.parents[1] / "pyproject.toml").read_text())
        (contract,) = (
            contract
            for contract in project["tool"]["importlinter"]["contracts"]
            if contract.get("source_modules") == [f"todo_api.{machinery}"]
        )
        others = {f"todo_api.{found.name}" for found in pkgutil.iter_modules([str(PACKAGE)])} - {
            f"todo_api.{machinery}"
        }

        assert set(contract["forbidden_modules"]) == others

    def test_package_can_be_imported_without_a_single_setting(self, monkeypatch: pytest.MonkeyPatch) -> None:
        names = [
            name
            for _, name, _ in pkgutil.walk_packages([str(PACKAGE)], "todo_api.")
            if not name.endswith(("__main__", ".main", ".env")) and ".versions" not in name
        ]
        monkeypatch.setenv("PORT", "not a port")

        assert all(importlib.import_module(name) for name in names)
        assert len(names) >= 15


@pytest.mark.parametrize("document", ["docs/reliability.md", "SECURITY.md"])
def test_tests_that_a_promise_names_exist(document: str) -> None:
    root = Path(__file__).parents[2]
    named = re.findall(r"`(tests/[\w/]+(?:\.py)?)/?(?:::(\w+))?`", (root / document).read_text())

    assert len(named) >= 3
    for path, name in named:
        assert (root / path).exists(), path
        assert not name or f"def {name}(" in (root / path).read_text(), f"{path}::{name}"


@pytest.mark.parametrize(
    "directory",
    ["bench/fastify", "clients/typescript", "examples/nextjs", "examples/web", "tests/better_auth", "tests/generators"],
)
def test_lock_of_node_names_versions_and_hashes_but_no_registry(directory: str) -> None:
    lock = json.loads((PACKAGE.parents[1] / directory / "package-lock.json").read_text())
    packages = [
        package
        for path, package in lock["packages"].items()
        if path and not package.get("resolved", "").startswith("file:../../clients/")
    ]

    assert packages
    for package in packages:
        assert package["integrity"].startswith("sha512-")
        assert "resolved" not in package
    assert "ignore-scripts=true" in (PACKAGE.parents[1] / directory / ".npmrc").read_text().split()
