"""A Dockerfile as data: its stages, each a list of instructions.

Only the instructions that ours uses are known; another one is an error rather than a step that
nobody carries out.
"""

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

KNOWN = frozenset(
    {"ARG", "CMD", "COPY", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "RUN", "STOPSIGNAL", "USER", "WORKDIR"}
)


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: its name, its ``--flags`` and the rest of the line."""

    name: str
    flags: dict[str, str]
    rest: str

    def words(self) -> list[str]:
        """The rest in exec form, or split as a shell would."""
        text = self.rest.removeprefix("CMD ")  # of HEALTHCHECK
        words = json.loads(text) if text.startswith("[") else shlex.split(text)
        return [str(word) for word in words]


@dataclass(frozen=True, slots=True)
class Stage:
    """A base image and what is done to it."""

    base: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)

    def last(self, name: str) -> Instruction:
        """The instruction of this name that counts.

        Raises:
            LookupError: there is none.
        """
        for instruction in reversed(self.instructions):
            if instruction.name == name:
                return instruction
        raise LookupError(f"The last stage of the Dockerfile has no {name}.")


def parse(path: Path) -> list[Stage]:
    """The stages of a Dockerfile.

    Raises:
        ValueError: an instruction that is not known here.
    """
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    stages: list[Stage] = []
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        if not line.strip():
            continue
        instruction = _instruction(line)
        if instruction.name == "FROM":
            base, _, name = instruction.rest.partition(" AS ")
            stages.append(Stage(base, name))
        else:
            stages[-1].instructions.append(instruction)
    return stages


def _instruction(line: str) -> Instruction:
    name, _, rest = line.strip().partition(" ")
    if name not in KNOWN:
        raise ValueError(f"{name} is an instruction that the check does not know.")
    flags = {}
    while match := re.match(r"\s*--([a-z-]+)=(\S+)\s+", rest):
        flags[match[1]] = match[2]
        rest = rest[match.end() :]
    return Instruction(name, flags, " ".join(rest.split()) if name == "RUN" else rest.strip())
