"""What is decided before any job starts: which configuration counts, whether it is sound, what it plans."""

from __future__ import annotations

import os
import re

import pytest
import yaml

from linconv.config import Config, load_config, parse_config
from tests.workflow.conftest import FAST, REPOSITORY, Project


def told(output: str) -> str:
    """The only line of the output; what Snakemake says of the profile and of `--config` is left out."""
    (line,) = (x for x in output.splitlines() if not x.startswith(("Using workflow specific profile", "Config file")))
    return line


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("threads: 010", "threads: 010 is read as an octal number, 8"),
        (
            "define: {T: {layer: tucker, options: {in_rnk: 0.5}}}",
            "define.T.options.in_rnk: layer 'tucker' has no option 'in_rnk'; did you mean 'in_rank'?",
        ),
    ],
    ids=["what Snakemake reads otherwise than it looks", "what only the method can tell"],
)
def test_a_wrong_file_is_one_message_with_its_line_and_no_job(project: Project, line: str, message: str) -> None:
    """The messages themselves: tests/config, and tests/methods/test_refusals.py for the options of methods."""
    text = yaml.safe_dump(FAST | {"experiment": "wrong"})
    (project.root / "wrong.yaml").write_text(text + line + "\n")
    done = project.snakemake("--configfile", "wrong.yaml")
    assert done.returncode != 0
    assert told(done.stdout).startswith(f"wrong.yaml:{len(text.splitlines()) + 1}: {message}")
    assert not project.results("wrong").exists()


def test_a_wrong_value_on_the_command_line_is_one_message(project: Project) -> None:
    done = project.snakemake("--config", 'needs={"trian": {"mem_mb": 9000}}')
    assert done.returncode != 0
    assert "did you mean 'train'" in told(done.stdout)


def test_a_default_file_that_snakemake_cannot_read_is_one_line_with_its_name(project: Project) -> None:
    (project.root / "config/config.yaml").write_bytes(b"a: \xe9\n")
    try:
        done = project.snakemake("--dry-run")
    finally:
        project.write_config()
    assert done.returncode != 0
    assert told(done.stdout).startswith("config/config.yaml: is not UTF-8 text")


def resolved(project: Project, experiment: str, *arguments: str) -> Config:
    """The configuration as it is written for the jobs."""
    done = project.snakemake("--list-rules", *arguments)
    assert done.returncode == 0, done.stdout
    return load_config(project.results(experiment) / "config.yaml")


def test_given_file_replaces_the_default(project: Project) -> None:
    project.write_config(define={"L": {"extends": "L", "options": {"primary_ratio": 0.25}}})
    try:
        given = resolved(project, "smoke", "--configfile", "config/smoke.yaml")
    finally:
        project.write_config()
    assert given == load_config(project.root / "config" / "smoke.yaml")


def test_values_on_the_command_line_lie_over_the_default(project: Project) -> None:
    given = resolved(project, "laid-over", "--config", "experiment=laid-over", "seeds=[3, 4]")
    assert given == parse_config(FAST | {"experiment": "laid-over", "seeds": [3, 4]})


def test_values_on_the_command_line_lie_over_a_given_file(project: Project) -> None:
    arguments = ("--configfile", "config/smoke.yaml", "--config", "experiment=both", "seeds=[7]")
    smoke = yaml.safe_load((project.root / "config" / "smoke.yaml").read_text())
    assert resolved(project, "both", *arguments) == parse_config(smoke | {"experiment": "both", "seeds": [7]})


def test_run_outside_the_configuration_is_not_planned(project: Project) -> None:
    done = project.snakemake("--dry-run", "results/fast/runs/synthetic/base/L/seed12/result.json")
    assert done.returncode != 0
    assert "MissingRuleException" in done.stdout


def test_a_run_on_a_new_split_has_a_folder_and_a_command_of_its_own(project: Project) -> None:
    more = ("--config", "experiment=split", "splits=[0, 3]")
    done = project.snakemake("--dry-run", "-p", "results/split/runs/synthetic/base/L/split3-seed0/result.json", *more)
    assert done.returncode == 0, done.stdout
    assert re.findall(r"--variant L (--seed.*?) >>", done.stdout) == ["--seed 0 --split 3"]
    missing = project.snakemake("--dry-run", "results/split/runs/synthetic/base/L/split2-seed0/result.json", *more)
    assert "MissingRuleException" in missing.stdout


def test_full_grid_is_planned_within_seconds(project: Project) -> None:
    before = os.times()
    planned = project.planned("--configfile", "config/paper.yaml", "--config", "experiment=planned")
    after = os.times()
    once = ("complexity", "collect", "render")
    assert planned == {"train": 360, **dict.fromkeys(once, 1)}
    assert after.children_user - before.children_user < 60, "seconds of processor time; it takes about five"


def asked(dry: str) -> dict[str, dict[str, str]]:
    """What each rule of a dry run asks for, by the name of the resource; `threads` among them."""
    found = {}
    for block in re.split(r"^(?:local)?rule ", dry, flags=re.M)[1:]:
        words = re.search(r"^    resources: (.*)$", block, re.M)
        threads = re.search(r"^    threads: (.*)$", block, re.M)
        pairs = dict(word.split("=", 1) for word in re.split(r", (?=\w+=)", words[1])) if words else {}
        found[block.partition(":")[0]] = pairs | {"threads": threads[1] if threads else "1"}
    return found


TIMED = 'throughput={"architectures": ["base"], "variants": ["L"], "batches": [50]}'
NEEDED = {"mem_mb": "16000", "runtime": "1440", "gpu": "1"}


@pytest.mark.parametrize(
    ("arguments", "gpu"), [pytest.param((), 6, marks=pytest.mark.slow), (("--resources", "gpu=2"), 2)]
)
def test_as_many_runs_at_once_as_there_are_places_on_gpus_and_one_timing(
    project: Project, arguments: tuple[str, ...], gpu: int
) -> None:
    """`--touch` plans and starts as without it, but runs no job."""
    settings = ("--config", "experiment=places", "device=auto", "runs_per_gpu=3", TIMED)
    output = project.snakemake("--touch", *settings, *arguments, CUDA_VISIBLE_DEVICES="GPU-a,GPU-b").stdout
    provided = re.search(r"^Provided resources: (.*)$", output, re.M)
    assert provided is not None, output
    total = {name: int(number) for name, number in re.findall(r"(\w+)=Resource\(\"\w+\", (\d+)\)", provided[1])}
    assert total["gpu"] == gpu
    found = asked(output)
    alone, shared = int(found["throughput"]["machine"]), int(found["train"]["machine"])
    assert alone + shared > total["machine"] >= 1000 * shared
    assert found["throughput"]["slurm_extra"] == "--exclusive"


HERE: tuple[str, ...] = ()
CLUSTER = ("--workflow-profile", "profiles/slurm", "--executor", "dryrun")


@pytest.mark.parametrize(
    ("device", "profile", "visible", "gpu"),
    [
        pytest.param("auto", HERE, "", "1", marks=pytest.mark.slow),
        ("auto", CLUSTER, "", "1"),
        ("cpu", CLUSTER, "GPU-a", "0"),
    ],
)
def test_the_configuration_alone_decides_what_jobs_ask_for(
    project: Project, device: str, profile: tuple[str, ...], visible: str, gpu: str
) -> None:
    """The same with a GPU and without one here, on this machine and on a cluster, for trainings and timings."""
    dry = project.snakemake("-n", *profile, "--config", f"device={device}", TIMED, CUDA_VISIBLE_DEVICES=visible)
    assert dry.returncode == 0, dry.stdout
    found = asked(dry.stdout)
    assert NEEDED | {"gpu": gpu} == {name: found["train"][name] for name in NEEDED}
    assert found["throughput"]["gpu"] == gpu
    assert {found[rule]["gpu"] for rule in ("complexity", "collect", "render")} == {"0"}


def test_an_override_changes_what_it_names_and_nothing_else(project: Project) -> None:
    overrides = ("--set-resources", "train:runtime=600", "--set-threads", "train=2")
    overrides += (
        "--default-resources",
        "slurm_partition=main",
        "mem_mb=1",
        "runtime=1",
        "slurm_extra='--constraint=\"a&b\" --nice=' + str(attempt)",
    )
    needs = 'needs={"complexity": {"mem_mb": 2000}, "profile": {"gpu": 0}}'
    dry = project.snakemake("-n", "--cores", "4", *overrides, "--config", "device=auto", needs, TIMED)
    assert dry.returncode == 0, dry.stdout
    found = asked(dry.stdout)
    changed = {"runtime": "600", "threads": "2", "slurm_partition": "main"}
    assert NEEDED | changed == {name: found["train"][name] for name in NEEDED | changed}
    expected = {"mem_mb": "2000", "runtime": "60", "gpu": "0", "threads": "1", "slurm_partition": "main"}
    assert expected == {name: found["complexity"][name] for name in expected}
    extra = {rule: found[rule]["slurm_extra"] for rule in ("train", "throughput")}
    given = '--constraint="a&b" --nice=1'
    assert extra == {"train": given, "throughput": f"{given} --exclusive"}


def test_workers_train_all_runs_in_as_many_jobs(project: Project) -> None:
    planned = project.planned("--config", "experiment=crowd", "workers=2", "seeds=[0, 1, 2]")
    assert planned == {"work": 2, **dict.fromkeys(("complexity", "collect", "render"), 1)}


def test_profile_keeps_no_incomplete_file() -> None:
    for path in (REPOSITORY / "profiles").glob("*/config.yaml"):
        profile = yaml.safe_load(path.read_text())
        assert "keep-incomplete" not in profile, path
        for key in ("keep-going", "rerun-incomplete", "show-failed-logs"):
            assert profile[key] is True, path
