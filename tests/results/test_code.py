"""Which code decides which result: derived from the imports, held to what a change of each room has to move."""

from __future__ import annotations

import ast
import importlib
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from linconv.catalogue.datasets import DATASETS
from linconv.catalogue.measurements import MEASUREMENTS
from linconv.catalogue.methods import MethodEntry
from linconv.config import VARIANTS, Pruning, Variant, parse_config, resolve_runs
from linconv.config.errors import UserError
from linconv.config.parts import grid_parts, run_parts
from linconv.results.code import COUNTED, EXCEPTIONS, PACKAGE, STAGES, SourceCode, code_hash
from linconv.results.other_packages import _distributions

MEASURED = set(MEASUREMENTS)
MADE_OF_RESULTS = set(STAGES)
NOT_COUNTED = MEASURED - {"complexity"}
STEPS = NOT_COUNTED - {"deployment"}
TRAINED = {"run", "sensitivity", "correctness"}

# room -> file, function and the kinds of results whose hash a change of that function moves
ROOMS: dict[str, tuple[str, str, set[str]]] = {
    "layers": ("layers/arguments.py", "convolve", MEASURED),
    "layers, the choice of a form by timing": ("layers/optimize.py", "optimize", {"throughput", "deployment"}),
    "models": ("models/__init__.py", "build_model", MEASURED),
    "data": ("data/batches.py", "batches", STEPS),
    "data, image folders": ("data/folders.py", "load_imagefolder", TRAINED),
    "pruning": ("pruning/plan.py", "make_plan", NOT_COUNTED),
    "training, the terms of the loss": ("training/penalties.py", "penalty_terms", STEPS),
    "training, a step": ("training/step.py", "make_optimizer", STEPS),
    "training, checkpoints": ("training/checkpoint.py", "restore_checkpoint", TRAINED),
    "measure, counting": ("measure/complexity.py", "complexity", {"run", "complexity"}),
    "measure, filters": ("measure/redundancy.py", "redundancy", {"run"}),
    "measure, timing": ("measure/timing.py", "interleave", {"throughput", "deployment", "profile", "regularizer"}),
    "deploy": ("deploy/onnx.py", "export_onnx", {"deployment"}),
    "measure, correctness": ("measure/correctness.py", "measure_correctness", {"correctness"}),
    "the run": ("runner.py", "perform_run", {"run"}),
    "config, the search for a learning rate": ("config/trials.py", "best_trial", TRAINED | MADE_OF_RESULTS),
    "config": ("config/runs.py", "plan_cells", MADE_OF_RESULTS),
    "results": ("results/tidy.py", "write_csv", MADE_OF_RESULTS),
    "results, a kind of its own": ("results/kinds/regularizer.py", "call_costs", MADE_OF_RESULTS),
    "statistics": ("statistics/fitting.py", "fit", {"report"}),
    "report": ("report/tables/table1.py", "table1", {"report"}),
    "cli": ("cli/runs.py", "train", set()),
    "devices": ("devices.py", "device_slot", set()),
    "session": ("session.py", "run_session", set()),
}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("code") / "linconv"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


@contextmanager
def changed(file: Path, function: str) -> Iterator[None]:
    """The file with one more statement in a function."""
    text = file.read_text(encoding="utf-8")
    found = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef) and n.name == function]
    assert found, f"{file.name} has no function {function}"
    last = found[0].body[-1]
    lines = text.splitlines(keepends=True)
    lines.insert(last.lineno - 1, " " * last.col_offset + "planted = 1\n")
    file.write_text("".join(lines), encoding="utf-8")
    try:
        yield
    finally:
        file.write_text(text, encoding="utf-8")


def hashes(source: SourceCode) -> dict[str, str]:
    """Every kind's hash, for `base` with the built-in variants on the digits."""
    parts = grid_parts(["base"], VARIANTS.values())
    return {kind: source.hash(kind, parts) for kind in (*MEASUREMENTS, *STAGES)}


@pytest.fixture(scope="module")
def unchanged(package: Path) -> tuple[SourceCode, dict[str, str]]:
    """The copy as it is, every file read, and its hashes."""
    source = SourceCode(package)
    return source, hashes(source)


def reread(source: SourceCode, file: Path) -> SourceCode:
    """The same package, of which one file alone is read again."""
    other = SourceCode(source.package)
    other._trees = {path: tree for path, tree in source._trees.items() if path != file}
    other._digests = {path: digest for path, digest in source._digests.items() if path != file}
    return other


@pytest.mark.parametrize(("file", "function", "moved"), ROOMS.values(), ids=ROOMS)
def test_a_change_in_a_room_moves_the_hashes_of_what_it_decides(
    unchanged: tuple[SourceCode, dict[str, str]], file: str, function: str, moved: set[str]
) -> None:
    source, before = unchanged
    with changed(source.package / file, function):
        after = hashes(reread(source, source.package / file))
    assert {kind for kind in before if before[kind] != after[kind]} == moved


def test_comments_docstrings_and_blank_lines_decide_nothing(package: Path) -> None:
    before = hashes(SourceCode(package))
    for file in ("training/step.py", "layers/linear_conv.py", "report/tables/table1.py"):
        text = (package / file).read_text(encoding="utf-8")
        opening, closing = text.index('"""'), text.index('"""', text.index('"""') + 3)
        (package / file).write_text(
            f'{text[:opening]}"""Other words.{text[closing:]}\n\n# a remark\n', encoding="utf-8"
        )
    assert hashes(SourceCode(package)) == before


PLAIN, TUCKER = Variant(layer="conv"), Variant(layer="tucker")
L1, DCFF = (Variant(layer="conv", pruning=Pruning(criterion=name)) for name in ("l1", "dcff"))


@pytest.mark.parametrize(
    ("file", "function", "uses", "uses_not"),
    [
        ("methods/tucker.py", "build", ("base", TUCKER), ("base", VARIANTS["L"])),
        ("layers/linear_conv.py", "forward", ("base", VARIANTS["L"]), None),
        ("models/vgg.py", "base", ("base", PLAIN), ("resnet18", PLAIN)),
        ("pruning/l1.py", "filter_norms", ("base", L1), ("base", DCFF)),
        ("layers/orthogonality.py", "conv_orthogonal_penalty", ("base", PLAIN), None),
    ],
)
def test_a_method_network_or_criterion_moves_its_own_results_alone(
    package: Path, file: str, function: str, uses: tuple[str, Variant], uses_not: tuple[str, Variant] | None
) -> None:
    def hash_of(cell: tuple[str, Variant]) -> str:
        return SourceCode(package).hash("run", grid_parts([cell[0]], [cell[1]]))

    before = [hash_of(cell) for cell in (uses, uses_not) if cell]
    with changed(package / file, function):
        after = [hash_of(cell) for cell in (uses, uses_not) if cell]
    assert before[0] != after[0]
    assert before[1:] == after[1:]


def test_the_loader_and_the_facts_of_a_data_set_move_its_own_runs_alone(package: Path) -> None:
    raw = {"experiment": "x", "architectures": ["base"], "variants": ["conv"], "seeds": [0]}
    runs = resolve_runs(parse_config(raw | {"datasets": ["digits", "mnist"]})).values()

    def of_runs() -> list[str]:
        return [SourceCode(package).hash("run", run_parts(run)) for run in runs]

    digits, mnist = of_runs()
    with changed(package / "data/embedded.py", "load_digits"):
        assert of_runs()[0] != digits
        assert of_runs()[1] == mnist


def test_a_fact_of_an_entry_moves_the_hash_and_its_label_does_not() -> None:
    def hash_of(**changes: object) -> str:
        return code_hash("run", [replace(DATASETS["digits"], **changes)])

    assert hash_of(label="other", source="elsewhere") == hash_of()
    assert hash_of(mean=(0.5,)) != hash_of()


def test_every_exception_is_a_part_of_the_package_and_is_met() -> None:
    source = SourceCode(PACKAGE)
    roots = [entry.module for entry in MEASUREMENTS.values()]
    everything = source.closure(roots)
    for name in EXCEPTIONS:
        assert any(module == name or module.startswith(f"{name}.") for module in everything), name
    assert set(COUNTED) <= everything


def test_a_name_that_a_package_passes_on_counts_as_the_module_that_defines_it(tmp_path: Path) -> None:
    package = tmp_path / "linconv"
    files = {
        "__init__.py": "",
        "room/__init__.py": "from linconv.room.one import a\nfrom linconv.room.two import b as c\n",
        "room/one.py": "from .three import d\ndef a(): ...\n",
        "room/two.py": "def b(): ...\n",
        "room/three.py": "def d(): ...\n",
        "user.py": "def late():\n    try:\n        from linconv.room import a\n    finally: ...\n",
        "checked.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import linconv.user\n",
        "renamed.py": "from linconv.room import c\n",
    }
    for name, text in files.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text, encoding="utf-8")
    source = SourceCode(package)
    assert source.closure(["linconv.user"]) == {"linconv.user", "linconv.room.one", "linconv.room.three"}
    assert source.closure(["linconv.checked"]) == {"linconv.checked"}
    assert source.closure(["linconv.renamed"]) == {"linconv.renamed", "linconv.room.two"}


def brought(package: str, files: dict[str, str], folder: Path, distribution: str = "") -> MethodEntry:
    """A method of a package whose files are written to a folder, and that a distribution has where it is named."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    if distribution:
        info = folder / f"{distribution}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n", encoding="utf-8")
        (info / "RECORD").write_text("".join(f"{name},,\n" for name in files), encoding="utf-8")
    _distributions.cache_clear()
    importlib.invalidate_caches()
    return MethodEntry(name=package, label=package, target=f"{package}:Mine")


def files_of(method: MethodEntry) -> set[str]:
    own = {name for name, _ in SourceCode(PACKAGE).files("run")}
    return {name for name, _ in SourceCode(PACKAGE).files("run", [method])} - own


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that packages are installed in."""
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    _distributions.cache_clear()


@pytest.mark.parametrize("distribution", ["", "mine"])
def test_what_a_method_of_another_package_imports_of_its_own_counts(site: Path, distribution: str) -> None:
    brought("xq_other", {"xq_other.py": ""}, site, "other")
    files = {
        "xq_layer.py": "import numpy, xq_other\nfrom xq_helper import a\nfrom linconv.methods import normalized\n",
        "xq_helper.py": "def f():\n    from xq_tools.deep import b\n    import linconv.no_more\n",
        "xq_tools/__init__.py": "from . import deep\n",
        "xq_tools/deep.py": "b = 1\n",
        "xq_tools/template.py": "{{ no Python }}\n",
        "xq_unused.py": "",
    }
    method = brought("xq_layer", files, site, distribution)
    counted = {name for name in files if name != "xq_unused.py"} | {"methods/normalized.py"}
    assert files_of(method) == counted
    before = SourceCode(PACKAGE).hash("run", [method])
    for name in counted - {"methods/normalized.py"}:
        text = (site / name).read_text()
        (site / name).write_text(f"{text}c = 2\n")
        assert SourceCode(PACKAGE).hash("run", [method]) != before, name
        (site / name).write_text(text)
    assert SourceCode(PACKAGE).hash("run", [method]) == before


def test_a_method_may_lie_in_a_package_without_init(site: Path) -> None:
    method = brought("xq_bare", {"xq_bare/layer.py": "import xq_bare.more\n", "xq_bare/more.py": ""}, site)
    assert files_of(replace(method, target="xq_bare.layer:Mine")) == {"xq_bare/layer.py", "xq_bare/more.py"}


def test_a_method_that_cannot_be_found_is_an_error_of_one_line(site: Path) -> None:
    method = MethodEntry(name="gone", label="gone", target="xq_gone.layer:Mine")
    with pytest.raises(UserError, match=r"'gone' is xq_gone\.layer, which cannot be found; install its"):
        SourceCode(PACKAGE).files("run", [method])


def test_nothing_but_the_catalogue_imports_by_a_string() -> None:
    """What the imports do not show, no hash would know. `deploy` imports packages of others, and a model's classes."""
    users = [
        path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if "import_module" in path.read_text()
    ]
    assert sorted(users) == ["_extras.py", "catalogue/_entry.py", "deploy/building.py", "deploy/optional.py"]


def test_no_file_is_read_twice_and_the_hash_of_a_run_takes_little_time(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    parse = ast.parse

    def counted(source: bytes, filename: str) -> ast.Module:
        read.append(filename)
        return parse(source, filename)

    monkeypatch.setattr("linconv.results.code.ast.parse", counted)
    source = SourceCode(PACKAGE)
    began = time.process_time()
    source.hash("run", grid_parts(["base"], VARIANTS.values()))
    assert time.process_time() - began < 1  # 0.2 s on one core of an AMD EPYC
    for kind in (*MEASUREMENTS, *STAGES):
        source.hash(kind)
    assert len(read) == len(set(read))


def test_the_package_is_imported_without_posix_modules() -> None:
    """`resource` exists on POSIX alone; the library and the counting work without it."""
    code = (
        "import sys; sys.modules['resource'] = None; import linconv\n"
        "from linconv.results.provenance import peak_memory_mib; peak_memory_mib()\n"
        "print(linconv.complexity(linconv.build_model('base'), (3, 32, 32)).params)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 0
