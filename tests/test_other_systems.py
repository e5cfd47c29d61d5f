"""The library works without Linux's modules, functions and files; `other_systems` says how far the pretence goes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PRETEND = """
import sys
from tests.other_systems import import_the_others, pretend
pretend(sys.argv[1])
"""
START = PRETEND.replace("pretend(sys", "import_the_others(); pretend(sys")
EVERY_PART = """
import importlib, pkgutil
import torch
import linconv
modules = [m.name for m in pkgutil.walk_packages(linconv.__path__, "linconv.") if not m.name.endswith("__main__")]
for name in modules:
    importlib.import_module(name)
for name in linconv.__all__:
    getattr(linconv, name)
for variant in ("L", "Lr", "LRr", "LSr"):
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Conv2d(8, 8, 3))
    model = linconv.convert(model, variant)
    x = torch.randn(2, 3, 9, 9)
    model(x).square().mean().backward()
    assert all(p.grad is not None for p in model.parameters()), variant
    torch.testing.assert_close(linconv.fold(model)(x), model(x))
    assert linconv.complexity(model, (3, 9, 9)).params == sum(p.numel() for p in model.parameters())
from linconv import devices
from linconv.data import sources
assert sources.fits_in_memory(1, "cpu") == (sys.argv[1] != "win32")  # unknown there: streamed
sources._leave_the_process_group(0)
assert devices._own_folder().name == "linconv-gpu-slots" or sys.argv[1] != "win32"
from pathlib import Path
from linconv.results.run_folder import InUseError, locked
with locked(Path(sys.argv[2])):
    try:
        with locked(Path(sys.argv[2]), wait=False):
            raise AssertionError("a second lock")
    except InUseError:
        pass
with locked(Path(sys.argv[2]), wait=False):
    pass
print(len(modules))
"""
A_RUN = """
from pathlib import Path
from linconv.cli import main
def linconv(*arguments):
    sys.argv = ["linconv", *arguments]
    try:
        main()
    except SystemExit as end:
        assert not end.code, arguments
config = sys.argv[2]
linconv("train", config, *"--dataset synthetic --architecture base --variant L --seed 0".split())
linconv("measure", "complexity", "--config", config)
linconv("collect", config)
linconv("render", "all", "results/short", "--workers", "1")
print("≈ equivalent")
"""
CONFIG = """
experiment: short
device: cpu
datasets: [synthetic]
architectures: [base]
variants: [L]
seeds: [0]
recipe: {overrides: [{set: {epochs: 1}}]}
"""


def run(code: str, *arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8", check=False)


@pytest.mark.parametrize("system", ["win32", pytest.param("darwin", marks=pytest.mark.slow)])
def test_every_part_is_imported_and_models_are_converted(system, tmp_path):
    done = run(START + EVERY_PART, system, str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []
    assert int(done.stdout) > 100


@pytest.mark.slow
def test_a_run_is_trained_collected_and_rendered_on_windows(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTHONIOENCODING", "cp1252")  # of a pipe on Windows; has no ≈
    (tmp_path / "short.yaml").write_text(CONFIG, encoding="utf-8")
    done = run(START + A_RUN, "win32", "short.yaml", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("≈ equivalent\n")
    assert (tmp_path / "results" / "short" / "report.html").is_file()
    assert b"\r" not in (tmp_path / "results" / "short" / "data" / "runs.csv").read_bytes()


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("import resource", "ModuleNotFoundError"),
        ("import os; os.getuid()", "AttributeError"),
        ("import os; os.open('.', os.O_RDONLY)", "PermissionError"),
        ("import os; os.fsync(open('pyproject.toml'))", "OSError"),
        ("open('/proc/meminfo')", "FileNotFoundError"),
    ],
)
def test_the_pretence_would_find_what_windows_does_not_have(code, error):
    done = run(PRETEND + code, "win32")
    assert done.returncode == 1
    assert error in done.stderr.splitlines()[-1]


def test_the_pipeline_says_where_it_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / "Snakefile").write_text(
        f'import sys\nsys.platform = "win32"\n\ninclude: "{ROOT}/workflow/Snakefile"\n', encoding="utf-8"
    )
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--dry-run"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "the pipeline needs bash, so Linux or macOS (on Windows: WSL)" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
