"""The layers need torch alone; whatever needs more says in one line which extra brings it."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import linconv
from linconv._extras import EXTRAS

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "linconv").rglob("*.py")
    if path.name != "__main__.py"
)
# numpy stays, since torch uses it where it is there
HIDDEN = sorted({name for names in EXTRAS.values() for name in names} - {"numpy"})
HIDING = """
import sys

class Hiding:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        return None if name in HIDDEN else self.finder.find_spec(name, path, target)

sys.meta_path[:] = [Hiding(finder) for finder in sys.meta_path]
"""
LAYERS = """
import torch, linconv

model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(8, 8, 3)).eval()
images = torch.randn(2, 3, 12, 12)
linconv.convert(model, "LRr", rank=2)
before = model(images)
assert linconv.complexity(model, (3, 12, 12)).params < 3 * 8 * 9 + 8 + 8 * 8 * 9 + 8
(before.sum() + linconv.correlation_penalty(model)).backward()
assert torch.allclose(linconv.fold(model)(images), before, atol=1e-5)
assert torch.allclose(linconv.optimize(model, images)(images), before, atol=1e-5)
linconv.LinearConv2d(8, 16, 3, rank=4)
linconv.layers.method_class("tucker")(8, 16, 3)
"""
DEPLOYING = """
import tempfile
from pathlib import Path

import torch, linconv
import torch.nn.functional as F
from linconv.deploy import open_model

model = linconv.build_model("base", linconv.Variant(layer="linear"), in_channels=1)
linconv.summary(model, (1, 32, 32))
plain = linconv.build_model("base", in_channels=1).eval()
images = torch.randn(2, 1, 32, 32)
batches = [(images, torch.tensor([0, 1]))]
small = torch.nn.Sequential(torch.nn.Conv2d(1, 8, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
assert linconv.plan(plain, (1, 32, 32), params=0.9).apply(plain)(images).shape == (2, 10)
assert linconv.sensitivity(small, F.cross_entropy, batches).layers
with tempfile.TemporaryDirectory() as folder:
    file = linconv.save(model, Path(folder, "m.safetensors"))
    loaded = linconv.load(file).eval()
    torch.testing.assert_close(loaded(images), model.eval()(images))
    onnx = linconv.export_onnx(linconv.optimize(loaded, images, forms=("product",)), images, Path(folder, "m.onnx"))
    int8 = linconv.quantize_onnx(onnx, [images], Path(folder, "int8.onnx"))
    for path in (onnx, int8):
        for engine in ("onnxruntime", "openvino"):
            assert open_model(path, engine, threads=1)(images.numpy()).shape == (2, 10)
"""
EVERY_MODULE = f"""
import importlib

for module in {MODULES!r}:
    try:
        importlib.import_module(module)
    except ImportError as error:
        print(f"{{module}}: {{error}}")
"""


def without_extras(code: str, kept: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run code where no extra is installed, or where one alone is beside what torch itself needs."""
    there = {*EXTRAS[kept], "filelock", "jinja2", "markupsafe"} if kept else set()
    hidden = f"HIDDEN = {sorted({*HIDDEN} - there)!r}"
    command = [sys.executable, "-W", "error::UserWarning", "-c", hidden + HIDING + code]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


def test_the_layers_need_torch_alone() -> None:
    done = without_extras(LAYERS)
    assert done.returncode == 0, done.stderr


def test_plans_files_and_engines_need_the_extra_deploy_alone() -> None:
    pytest.importorskip("openvino")
    done = without_extras(DEPLOYING, "deploy")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("call", ["save(None, 'x')", "deploy.open_model('x', 'openvino', threads=1)", "load('x')"])
def test_deploying_without_a_package_names_the_extra_deploy(call: str) -> None:
    done = without_extras(f"import linconv; linconv.{call}")
    assert done.stderr.splitlines()[-1].endswith("needs pydantic: pip install 'linconv[deploy]'")


def test_planning_without_a_package_names_the_smaller_extra() -> None:
    done = without_extras("""
import linconv
for name in ("plan", "sensitivity", "Variant", "build_model"):
    try:
        getattr(linconv, name)("base")
    except ImportError as error:
        print(name, error)
""")
    assert done.returncode == 0, done.stderr
    extras = {line.split()[0]: line.rpartition(": ")[2] for line in done.stdout.splitlines()}
    assert extras == dict.fromkeys(("plan", "sensitivity", "Variant", "build_model"), "pip install 'linconv[deploy]'")


def test_what_needs_more_says_which_extra_brings_it() -> None:
    done = without_extras(EVERY_MODULE)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [
        line for line in lines if not re.fullmatch(r"linconv\S+: linconv\S* needs \w+: pip install '\S+'", line)
    ] == []
    named = {line.partition(":")[0] for line in lines}
    assert {"linconv.report.figures", "linconv.data.published", "linconv.config.schema", "linconv.cli.runs"} <= named
    assert not {name for name in named if name.startswith(("linconv.layers", "linconv.methods"))}
    # of the catalogue only measurements, whose options are checked by pydantic, and what gathers entries from them
    measured = ("_measurement", "frozen", "measurements", "tables", "figures", "claims", "listing")
    catalogue = {name for name in named if name.startswith("linconv.catalogue")}
    assert catalogue == {f"linconv.catalogue.{name}" for name in measured}


def test_the_version_needs_no_extra() -> None:
    done = without_extras("import sys; sys.argv[1:] = ['--version']; from linconv.__main__ import main; main()")
    assert (done.returncode, done.stdout) == (0, f"linconv {linconv.__version__}\n"), done.stderr


def test_others_may_look_whether_a_package_is_there() -> None:
    code = "import linconv, importlib.util; assert importlib.util.find_spec('pandas') is None\ntry:\n  import pandas\n"
    done = without_extras(code + "except ImportError as error: assert 'linconv' not in str(error)")
    assert done.returncode == 0, done.stderr


def test_every_import_is_of_a_package_that_is_declared() -> None:
    """An import of the package is torch, or is named in `EXTRAS`, or the standard library has it."""
    known = {
        *sys.stdlib_module_names,
        "linconv",
        "torch",
        "pydantic_core",
        *(n for names in EXTRAS.values() for n in names),
    }
    known.add("pytest")  # of linconv.testing.parametrize, for whoever has it
    found = {
        (path.relative_to(ROOT).as_posix(), name.partition(".")[0])
        for path in (ROOT / "linconv").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom) and not getattr(node, "level", 0)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }
    assert [(path, name) for path, name in sorted(found) if name not in known] == []


@pytest.mark.parametrize("extra", EXTRAS)
def test_extras_bring_what_they_are_said_to_bring(extra: str) -> None:
    distributions = metadata.packages_distributions()
    declared = {re.split(r"[<>=\[ ]", need)[0].lower() for need in PROJECT["optional-dependencies"][extra]}
    for module in EXTRAS[extra]:
        names = {name.lower() for name in distributions.get(module, [module])}
        assert names & declared, f"{module} is not among {sorted(declared)}"


def test_the_package_itself_needs_torch_alone() -> None:
    assert [re.split(r"[<>=]", need)[0] for need in PROJECT["dependencies"]] == ["torch"]


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_an_interrupt_during_the_imports_leaves_one_line() -> None:
    code = """
import os, signal, sys
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "linconv.cli":
            os.kill(os.getpid(), signal.SIGINT)
from linconv.__main__ import main
sys.meta_path.insert(0, Interrupting())
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (75, "interrupted; the same command starts again\n")


def test_a_missing_package_of_the_commands_is_one_line() -> None:
    done = without_extras("import linconv.__main__; linconv.__main__.main()")
    assert done.returncode == 2
    assert re.fullmatch(r"error: linconv\.cli\S* needs \w+: pip install 'linconv\[bench\]'\n", done.stderr)
