"""A private copy of the project in which the tests run Snakemake, edit code and lose files."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
PARTS = ("Snakefile", "workflow", "profiles", "config", "linconv", "requirements.lock")

FAST = {
    "experiment": "fast",
    "datasets": ["synthetic"],
    "architectures": ["base"],
    "variants": ["conv", "L"],
    "seeds": [0],
    "recipe": {"overrides": [{"set": {"epochs": 1}}]},
    "device": "cpu",
    "complexity": {"architectures": ["base"]},
    "figures": {"formats": ["svg"]},
    "ranking": {},
}


@dataclass(frozen=True)
class Project:
    """A copy of the pipeline and the package in `root`; nothing that happens to it reaches the checkout.

    `package` is the folder of the package, where that is another one.
    """

    root: Path
    package: Path | None = None

    @classmethod
    def copied_to(cls, root: Path) -> Project:
        for part in PARTS:
            source, target = REPOSITORY / part, root / part
            if source.is_dir():
                shutil.copytree(source, target)  # the compiled files, too: Python sees which of them are older
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target)
        return cls(root)

    def copy(self, root: Path) -> Project:
        """The project as it stands, results and Snakemake's own records included, times kept."""
        shutil.copytree(self.root, root)
        return Project(root)

    def write_config(self, **changes: object) -> None:
        text = yaml.safe_dump(FAST | changes, sort_keys=False)
        (self.root / "config" / "config.yaml").write_text(text, encoding="utf-8")

    @property
    def environment(self) -> dict[str, str]:
        """Programs run on the copy's package."""
        return os.environ | {"PYTHONPATH": str(self.package or self.root), "OMP_NUM_THREADS": "1"}

    def snakemake(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run Snakemake in the copy, on the copy's package; stdout holds both streams."""
        return self._run("snakemake", *arguments, **environment)

    def linconv(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command that must succeed."""
        done = self._run("linconv.cli", *arguments, **environment)
        assert done.returncode == 0, done.stdout
        return done

    def _run(self, module: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=self.root,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start Snakemake; what it says goes to started.log."""
        with (self.root / "started.log").open("w", encoding="utf-8") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "snakemake", *arguments],
                cwd=self.root,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
            )

    def told(self) -> str:
        """What the Snakemake started last has said."""
        return (self.root / "started.log").read_text(encoding="utf-8")

    def planned(self, *arguments: str) -> Counter[str]:
        """How many jobs of each rule a dry run plans; target rules, which do no work, left out."""
        dry = self.snakemake("--dry-run", *arguments)
        assert dry.returncode == 0, dry.stdout
        jobs = Counter({rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", dry.stdout, re.M)})
        for name in ("all", "default", "total"):
            del jobs[name]
        return jobs

    def results(self, experiment: str = "fast") -> Path:
        return self.root / "results" / experiment

    def run_times(self) -> dict[str, int]:
        """When each result of the fast experiment was written."""
        root = self.results()
        return {str(p.relative_to(root)): p.stat().st_mtime_ns for p in sorted(root.glob("runs/**/result.json"))}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The pipeline with the fast configuration as its default, nothing run yet."""
    project = Project.copied_to(tmp_path_factory.mktemp("project"))
    project.write_config()
    return project


@pytest.fixture(scope="module")
def finished(project: Project) -> Project:
    """The fast experiment, run to its end."""
    done = project.snakemake()
    assert done.returncode == 0, done.stdout
    return project
