"""The Dockerfile's promises that can be read off it; `make image-check` carries it out."""

import json
from pathlib import Path

import pytest
from deploy.dockerfile import Stage, parse

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def image() -> Stage:
    """The last stage: what is shipped."""
    return parse(PROJECT / "Dockerfile")[-1]


def test_shipped_stage_runs_nothing_so_it_holds_no_build_tools_and_no_cache(image: Stage) -> None:
    assert [instruction for instruction in image.instructions if instruction.name == "RUN"] == []
    assert [line.flags for line in image.instructions if line.name == "COPY"] == [{"from": "build"}]


def test_user_is_a_number_and_not_root(image: Stage) -> None:
    user, group = (int(number) for number in image.last("USER").rest.split(":"))

    assert user > 0
    assert group > 0


def test_command_is_in_exec_form_so_signals_reach_it(image: Stage) -> None:
    assert json.loads(image.last("CMD").rest) == ["todo-api", "serve"]


def test_packages_are_installed_by_their_hashes() -> None:
    build = parse(PROJECT / "Dockerfile")[0]
    commands = " && ".join(line.rest for line in build.instructions if line.name == "RUN").split(" && ")
    installs = [command for command in commands if " install " in command]

    assert len(installs) == 2
    assert all("--require-hashes" in command or "--no-deps --no-build-isolation" in command for command in installs)


def test_instruction_that_the_check_would_skip_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nADD . /\n")

    with pytest.raises(ValueError, match="ADD"):
        parse(tmp_path / "Dockerfile")
