"""The client as a package.

Installed in every form that its README names, and the README's own snippets.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.node import HERE, PACKAGE, ROOT, node, run_tool

MODULES = PACKAGE / "node_modules"
NPM_SECONDS = 100


def npm(directory: Path, *arguments: str | Path) -> str:
    """Run npm; what it printed. Whatever needs the network fails."""
    if (command := shutil.which("npm")) is None:
        pytest.skip("needs npm")
    done = subprocess.run(
        [command, *arguments, "--offline", "--no-audit", "--no-fund"],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=NPM_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def packed(directory: Path) -> Path:
    """What ``make package`` writes."""
    (archive,) = json.loads(npm(directory, "pack", PACKAGE, "--json", "--pack-destination", directory))
    return directory / str(archive["filename"])


def repository(directory: Path) -> str:
    """A git repository with the files that the package needs, as they are here; its URL."""
    if shutil.which("git") is None:
        pytest.skip("needs git")
    target = directory / "repository"
    shutil.copytree(PACKAGE, target / "clients" / "typescript", ignore=shutil.ignore_patterns("node_modules"))
    for name in ("package.json", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, target)
    author = {f"GIT_{who}_{what}": "test@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "All"]):
        subprocess.run(["git", *command], cwd=target, env={**os.environ, **author}, check=True)
    return f"git+file://{target}"


FORMS: dict[str, Callable[[Path], Path | str]] = {
    "a directory": lambda _: PACKAGE,
    "a tarball": packed,
    "a git URL": repository,
}


@pytest.mark.parametrize("form", FORMS)
def test_package_is_installed_built_and_run_from(form: str, tmp_path: Path) -> None:
    node("--version")
    project = tmp_path / "project"
    shutil.copytree(HERE / "project", project)

    npm(project, "install", FORMS[form](tmp_path))
    run_tool("tsc", "--project", project)
    node(MODULES / "vite" / "bin" / "vite.js", "build", project, "--logLevel", "error", "--target", "esnext")

    assert node(project / "built" / "script.js") == "unreachable\n"
    (script,) = (project / "dist" / "assets").glob("*.js")
    assert "Idempotency-Key" in script.read_text()


def test_tarball_holds_what_people_and_debuggers_read(tmp_path: Path) -> None:
    node("--version")
    (archive,) = json.loads(npm(tmp_path, "pack", PACKAGE, "--json", "--dry-run"))

    files = {file["path"] for file in archive["files"]}
    sources = {path.stem for path in PACKAGE.glob("src/*.ts")}
    built = {f"dist/{name}{suffix}" for name in sources for suffix in (".js", ".js.map", ".d.ts")}
    read = {"LICENSE", "README.md", "REFERENCE.md", "package.json", *(f"src/{name}.ts" for name in sources)}
    assert files == built | read


def test_package_passes_the_checks_of_its_ecosystem() -> None:
    run_tool("publint", PACKAGE, "--strict", "--pack", "npm")
    run_tool("attw", "--pack", PACKAGE, "--profile", "esm-only")


def test_repository_is_the_same_package() -> None:
    package, repository = (json.loads((path / "package.json").read_text()) for path in (PACKAGE, ROOT))

    for field in ("name", "version", "license", "type", "sideEffects", "engines"):
        assert repository[field] == package[field]
    assert repository["exports"]["."] == {
        condition: file.replace("./", "./clients/typescript/") for condition, file in package["exports"]["."].items()
    }
    assert (PACKAGE / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


def test_repository_names_files_and_not_their_directories() -> None:
    # Yarn 2 and newer leave out what is in a directory that "files" names below the top (4.18).
    assert not [name for name in json.loads((ROOT / "package.json").read_text())["files"] if (ROOT / name).is_dir()]


def test_snippets_of_the_readme_compile(tmp_path: Path) -> None:
    snippets = re.findall(r"^```(tsx?)\n(.*?)^```$", (PACKAGE / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    project = tmp_path / "project"
    shutil.copytree(HERE / "readme", project)
    for number, (suffix, text) in enumerate(snippets):
        (project / f"snippet{number}.{suffix}").write_text(text)
    settings = json.loads((project / "tsconfig.json").read_text())
    settings["compilerOptions"]["paths"] = {"todo-api-client": [str(PACKAGE / "dist" / "index.d.ts")]}
    (project / "tsconfig.json").write_text(json.dumps(settings))
    (project / "node_modules").symlink_to(MODULES)

    run_tool("tsc", "--project", project)

    assert len(snippets) >= 4


def test_server_side_snippet_is_the_one_that_the_nextjs_example_builds() -> None:
    example = (ROOT / "examples" / "nextjs" / "lib" / "server-client.ts").read_text()
    _, _, snippet = example.partition("\n\n")

    assert f"```ts\n{snippet}```" in (PACKAGE / "README.md").read_text()


def test_reference_is_generated_from_the_types(tmp_path: Path) -> None:
    node(PACKAGE / "reference.mjs", tmp_path / "REFERENCE.md")

    assert (tmp_path / "REFERENCE.md").read_text() == (PACKAGE / "REFERENCE.md").read_text()
