"""A lock file installs whatever is released after it, under any pip and its configuration."""

import ensurepip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

PROJECT = Path(__file__).parents[2]
LOCKS = {path.stem: path for path in sorted((PROJECT / "requirements").glob("*.txt"))}
EXTRAS = {"production": [], "embedded": ["embedded"], "otel": ["otel"], "development": ["embedded", "otel"]}
GROUPS = {"development": ["dev"]}
REAL = {"flit-core", "pip"}
"""Packages that do the installing: their stand-ins hold what the real ones hold."""

FIRST_PIP = Version("23.1.2" if sys.version_info >= (3, 12) else "0")
"""The first that runs on this Python: those before need ``pkgutil.ImpImporter``, gone in 3.12."""

BUNDLED = {
    Version(wheel.name.split("-")[1]): wheel
    for folder in (Path(ensurepip.__file__).parent / "_bundled", Path("/usr/share/python-wheels"))
    for wheel in folder.glob("pip-*.whl")
}
OLDEST = BUNDLED[min(version for version in BUNDLED if version >= FIRST_PIP)]
"""The oldest of the pips that come with a Python of this machine, and run on this one."""

NEWEST = distribution("pip")
PIPS = pytest.mark.parametrize("pip", [OLDEST, NEWEST], ids=["oldest", "newest"])

OUTSIDE_OF_MAKE = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL"}}
"""`make test` runs these tests, and a make that is called by another one says other things."""

pytestmark = pytest.mark.timeout(600)  # a dozen environments are made

AWKWARD = "it's 100% (mine) & more"
INSTALL_OF_A_LOCK = re.compile(r"pip\b[^\n`]*install\b[^\n`]* -r \S*requirements/")


def pins(lock: Path) -> dict[str, Requirement]:
    """What a lock pins for this Python and platform, by name."""
    lines = (line.rstrip(" \\") for line in lock.read_text().splitlines() if re.match(r"[a-z]\S*==", line))
    requirements = [Requirement(line) for line in lines]
    return {canonicalize_name(one.name): one for one in requirements if not one.marker or one.marker.evaluate()}


def needs(requirements: list[str], extras: set[str]) -> list[Requirement]:
    """Those of a package's requirements that count when these extras are asked for."""
    return [
        one
        for one in map(Requirement, requirements)
        if not one.marker or any(one.marker.evaluate({"extra": extra}) for extra in extras or {""})
    ]


@pytest.mark.parametrize("name", LOCKS)
def test_lock_holds_everything_that_its_packages_require(name: str) -> None:
    """What `pip check` says of an environment, said of each lock: so nothing has to be resolved."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    wanted = [*project["project"]["dependencies"], *(line for extra in EXTRAS[name] for line in extras[extra])]
    wanted += [line for group in GROUPS.get(name, ["build"]) for line in project["dependency-groups"][group]]
    locked = pins(LOCKS[name])
    todo = needs(wanted, set())
    done: set[str] = set()
    while todo:
        one = todo.pop()
        if str(one) in done:
            continue
        done.add(str(one))
        key = canonicalize_name(one.name)
        (pin,) = locked[key].specifier
        assert one.specifier.contains(pin.version, prereleases=True), f"{name}.txt pins {locked[key]}, not {one}"
        found = distribution(key)
        assert found.version == pin.version
        todo += needs(found.requires or [], one.extras)

    assert {canonicalize_name(Requirement(line).name) for line in done} == set(locked)


def test_every_documented_install_of_a_lock_resolves_nothing_and_checks_hashes() -> None:
    texts = [PROJECT / "Dockerfile", *PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md"), *PROJECT.glob("*/*.md")]
    commands = [match[0] for text in texts for match in INSTALL_OF_A_LOCK.finditer(text.read_text())]

    assert len(commands) >= 2
    assert [one for one in commands if not {"--no-deps", "--require-hashes"} <= set(one.split())] == []


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that stands for the package index.

    It has each locked package, without content but with all that it requires, and a newer release
    of each: resolving a requirement finds the newer one.
    """
    folder = tmp_path_factory.mktemp("packages")
    for name, pin in pins(LOCKS["development"]).items():
        found = distribution(name)
        (version,) = (one.version for one in pin.specifier)
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {{}}\n" + "".join(
            f"{field}: {value}\n"
            for field in ("Requires-Dist", "Provides-Extra")
            for value in found.metadata.get_all(field, [])
        )
        write_wheel(folder, name, version, metadata, found if name in REAL else None)
        write_wheel(folder, name, "9999", metadata, None)
    return folder


def write_wheel(folder: Path, name: str, version: str, metadata: str, content: Distribution | None) -> None:
    """Write a wheel of this metadata, with the modules of an installed distribution if named."""
    stem = f"{name.replace('-', '_')}-{version}"
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as wheel:
        for path in (content.files or []) if content else []:
            if path.suffix != ".pyc" and ".." not in path.parts and ".dist-info" not in path.parts[0]:
                wheel.write(str(path.locate()), str(path))
        wheel.writestr(f"{stem}.dist-info/METADATA", metadata.format(version))
        wheel.writestr(f"{stem}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{stem}.dist-info/RECORD", "")


def write_lock(source: Path, target: Path, packages: Path) -> None:
    """Write a lock with the same pins and the hashes of the packages that stand for them."""
    lines = []
    for name, pin in pins(source).items():
        (version,) = (one.version for one in pin.specifier)
        wheel = packages / f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
        lines.append(f"{pin} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n")
    target.write_text("".join(lines))


@pytest.fixture(scope="module")
def checkout(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an installation reads of the project, with locks of stand-ins for the real packages."""
    folder = tmp_path_factory.mktemp("checkout") / AWKWARD
    shutil.copytree(PROJECT / "requirements", folder / "requirements", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "src").mkdir()
    shutil.copytree(PROJECT / "src/todo_api", folder / "src/todo_api", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Makefile", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, folder / name)
    for name, path in LOCKS.items():
        write_lock(path, folder / f"requirements/{name}.txt", packages)
    return folder


def environment_with(pip: Path | Distribution, folder: Path) -> Path:
    """Make an environment that holds nothing but this pip; its folder of packages."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (library,) = folder.glob("lib/python3*/site-packages")
    if isinstance(pip, Path):
        with zipfile.ZipFile(pip) as wheel:
            wheel.extractall(library)
    else:
        for path in pip.files or []:
            if path.suffix != ".pyc" and ".." not in path.parts:
                (library / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path.locate(), library / path)
    return library


def run(command: list[str], folder: Path, packages: Path, **environment: str) -> str:
    """Run a command that finds packages in the folder only; its output."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={**OUTSIDE_OF_MAKE, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(packages), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def installed(library: Path) -> dict[str, str]:
    """The versions of what an environment holds beside the pip that it began with, by name."""
    found = {canonicalize_name(one.metadata["Name"]): one.version for one in distributions(path=[str(library)])}
    return {name: version for name, version in found.items() if name != "pip"}


def locked(name: str) -> dict[str, str]:
    """The versions of what a lock pins, by name, beside pip."""
    return {key: next(iter(pin.specifier)).version for key, pin in pins(LOCKS[name]).items() if key != "pip"}


@pytest.fixture(autouse=True)
def _fresh(checkout: Path) -> None:
    shutil.rmtree(checkout / ".venv", ignore_errors=True)


@pytest.mark.parametrize("name", ["production", "otel"])
@PIPS
def test_pip_installs_what_is_locked_and_nothing_newer(name: str, pip: Any, checkout: Path, packages: Path) -> None:
    library = environment_with(pip, checkout / ".venv")
    command = ".venv/bin/python -m pip install --no-deps --require-hashes -r"

    run([*command.split(), f"requirements/{name}.txt"], checkout, packages)

    assert installed(library) == locked(name)


@PIPS
def test_make_installs_what_is_locked_under_any_configuration(
    pip: Any, checkout: Path, packages: Path, tmp_path: Path
) -> None:
    """No setting of pip or Python changes what is installed or where.

    But the index is the one configured.
    """
    library = environment_with(pip, checkout / ".venv")
    (tmp_path / "constraints.txt").write_text("pydantic<2\nfastapi==0.1\n")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/flit_core.py").write_text("raise SystemExit('a module of somebody else')\n")
    (tmp_path / "pip.conf").write_text(
        f"[global]\nconstraint = {tmp_path}/constraints.txt\nno-index = true\nfind-links = {packages}\n"
        f"require-hashes = true\nno-binary = :all:\n[install]\nuser = true\ntarget = {tmp_path}/target\n"
        f"prefix = {tmp_path}/prefix\n"
    )
    variables = {
        "PIP_CONFIG_FILE": str(tmp_path / "pip.conf"),
        "PIP_NO_INDEX": "",
        "PIP_FIND_LINKS": "",
        "PIP_USER": "1",
        "PIP_REQUIRE_VIRTUALENV": "1",
        "PIP_CONSTRAINT": str(tmp_path / "constraints.txt"),
        "PIP_ROOT": str(tmp_path / "root"),
        "PYTHONPATH": str(tmp_path / "elsewhere"),
        "PYTHONSAFEPATH": "1",
        "PYTHONWARNINGS": "error",
    }

    output = run(["sh", "-c", "umask 077; exec make .venv/development"], checkout, packages, **variables)

    assert f"Installing requirements/embedded.txt: {len(locked('embedded'))} packages\n" in output
    found = installed(library)
    assert found.pop("todo-api")
    assert found == locked("development")
    assert {path.name for path in tmp_path.iterdir()} == {"constraints.txt", "elsewhere", "pip.conf"}
    run([".venv/bin/python", "-m", "pip", "check"], checkout, packages)


def test_failure_shows_what_pip_said(checkout: Path, packages: Path, tmp_path: Path) -> None:
    environment_with(NEWEST, checkout / ".venv")

    with pytest.raises(AssertionError, match=r"No matching distribution found for alembic(?s:.*)make: \*\*\*"):
        run(["make", ".venv/runtime"], checkout, tmp_path)
