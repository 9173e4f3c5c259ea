"""What a contributor is told to run exists, and the lists that people keep are complete."""

import importlib.util
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).parents[2]
RULES = set(re.findall(r"^([\w./-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
WORKFLOW: dict[str, Any] = yaml.safe_load((PROJECT / ".github/workflows/check.yml").read_text())
DECISIONS = sorted((PROJECT / "docs/decisions").glob("0*.md"))
DOCUMENTS = [*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md"), *PROJECT.glob("examples/*/README.md")]


@pytest.mark.parametrize(
    "path",
    [
        ".ci/run",
        ".devcontainer/devcontainer.json",
        ".github/pull_request_template.md",
        ".github/workflows/check.yml",
        ".pre-commit-config.yaml",
        "CONTRIBUTING.md",
        "README.md",
    ],
)
def test_every_make_word_that_is_named_exists(path: str) -> None:
    named = re.findall(r"(?:`|^|run: |entry: |\")make ((?:[\w./-]+ ?)+)", (PROJECT / path).read_text(), re.MULTILINE)
    words = {word for words in named for word in words.split() if word.islower()}

    assert words
    assert words <= RULES


def test_every_make_word_is_phony_or_a_file_and_is_explained() -> None:
    makefile = (PROJECT / "Makefile").read_text()
    (phony,) = re.findall(r"^\.PHONY: (.*)", makefile, re.MULTILINE)
    explained = re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE)

    assert sorted([*explained, "help"]) == sorted(phony.split())


def test_classifiers_are_the_pythons_that_the_workflow_tries() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    named = [line.rpartition(" ")[2] for line in project["classifiers"] if "Python :: 3." in line]

    assert WORKFLOW["jobs"]["test"]["strategy"]["matrix"]["python"] == named
    assert project["requires-python"] == f">={named[0]}"


def test_hooks_are_make_words_and_the_container_installs_what_make_installs() -> None:
    (repository,) = yaml.safe_load((PROJECT / ".pre-commit-config.yaml").read_text())["repos"]
    container = json.loads((PROJECT / ".devcontainer/devcontainer.json").read_text())

    assert [hook["entry"].split()[0] for hook in repository["hooks"]] == ["make", "make"]
    assert container["postCreateCommand"].split() == ["make", ".venv/development"]


def test_dependabot_knows_every_lock_of_node() -> None:
    updates = yaml.safe_load((PROJECT / ".github/dependabot.yml").read_text())["updates"]
    (watched,) = (update["directories"] for update in updates if update["package-ecosystem"] == "npm")
    locks = PROJECT.glob("*/*/package-lock.json")

    assert sorted(watched) == sorted(f"/{path.parent.relative_to(PROJECT)}" for path in locks)


@pytest.mark.parametrize("path", DECISIONS, ids=[path.name[:4] for path in DECISIONS])
def test_decision_has_a_status_a_date_and_references_and_is_in_the_index(path: Path) -> None:
    head = re.match(
        r"# (?P<number>\d+)\. (?P<title>.+)\n\nStatus: (?P<status>accepted|superseded by \[\d+\]\(\S+\))\. Date: "
        r"(?P<date>\d{4}-\d\d-\d\d)\b(?:.+\n)*?.*\bReferences:\s\S",
        path.read_text(),
    )

    assert head is not None
    assert head["number"] == path.name[:4].lstrip("0")
    row = f"| {head['number']} | [{head['title']}]({path.name}) | {head['status']} | {head['date']} |"
    assert row in (PROJECT / "docs/decisions/README.md").read_text().splitlines()


@pytest.mark.parametrize("path", DOCUMENTS, ids=[str(path.relative_to(PROJECT)) for path in DOCUMENTS])
def test_links_within_the_repository_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", path.read_text())

    assert [link for link in links if not (path.parent / link).exists()] == []


def test_changelog_has_a_dated_entry_for_the_version() -> None:
    (version,) = re.findall(r'__version__ = "([^"]+)"', (PROJECT / "src/todo_api/__init__.py").read_text())

    assert re.search(
        rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", (PROJECT / "CHANGELOG.md").read_text(), re.MULTILINE
    )


@pytest.mark.parametrize("path", sorted(PROJECT.glob("deploy/**/*.yaml")), ids=lambda path: path.stem)
def test_manifests_name_the_version(path: Path) -> None:
    (version,) = re.findall(r'__version__ = "([^"]+)"', (PROJECT / "src/todo_api/__init__.py").read_text())
    images = re.findall(r"image: registry\.example\.com/todo-api:(\S+)", path.read_text())

    assert set(images) <= {version}


GUIDES = [PROJECT / "docs/add-a-field.md", PROJECT / "docs/add-an-endpoint.md"]


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.stem)
def test_lines_that_a_guide_changes_are_there(guide: Path) -> None:
    sections = re.split(r"^## ", guide.read_text(), flags=re.MULTILINE)
    found = [re.match(r"\d\. `([\w/.]+)`.*?```diff\n(.*?)```", section, re.DOTALL) for section in sections]
    steps = [match.groups() for match in found if match is not None]

    assert steps
    for path, diff in steps:
        present = (PROJECT / "src/todo_api" / path).read_text()
        old = {line[1:].strip() for line in diff.splitlines() if line[:1] in {" ", "-"}} - {"…"}
        assert [line for line in old if line not in present] == [], path


@pytest.mark.parametrize("guide", GUIDES, ids=lambda path: path.stem)
def test_names_that_a_guide_uses_exist(guide: Path) -> None:
    text = guide.read_text()
    imported = re.findall(r"^from ((?:todo_api|tests)[\w.]*) import (.+)$", text, re.MULTILINE)
    missing = [
        f"{module}.{name}"
        for module, names in imported
        for name in names.split(", ")
        if not hasattr(importlib.import_module(module), name) and not importlib.util.find_spec(f"{module}.{name}")
    ]
    tests = "".join(path.read_text() for path in PROJECT.glob("tests/**/test_*.py"))
    named = re.findall(r"`(test_\w+)`", text)

    assert missing == []
    assert [name for name in named if f"def {name}(" not in tests] == []
