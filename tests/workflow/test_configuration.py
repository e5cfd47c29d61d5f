"""What is decided before any job starts: which configuration counts, whether it is sound, what it plans."""

from __future__ import annotations

import re
import time

import pytest
import yaml

from linconv.config import Config, load_config, parse_config
from tests.workflow.conftest import FAST, REPOSITORY, Project

WRONG = {
    "unknown key": ({"epochs": 3}, "epochs: unknown key"),
    "unknown variant": ({"variants": ["conv", "LRR"]}, "did you mean 'LRr'"),
    "unknown architecture": ({"architectures": ["vgg"]}, "did you mean 'vgg11'"),
    "unknown data set": ({"datasets": ["digit"]}, "did you mean 'digits'"),
    "wrong type": ({"threads": "many"}, "(got 'many')"),
    "empty list": ({"datasets": []}, "datasets: the list is empty"),
    "negative rank": ({"define": {"X": {"layer": "linear", "options": {"rank": -1}}}}, "(got -1)"),
    "rank above the primaries": (
        {"variants": ["X"], "define": {"X": {"layer": "linear", "options": {"rank": 500}}}},
        "rank 500",
    ),
    "duplicate seeds": ({"seeds": [0, 1, 0]}, "seeds: 0 is listed twice"),
}


@pytest.mark.parametrize(("changes", "named"), WRONG.values(), ids=WRONG.keys())
def test_wrong_configuration_is_one_message_and_no_job(
    project: Project, changes: dict[str, object], named: str
) -> None:
    path = project.root / "wrong.yaml"
    path.write_text(yaml.safe_dump(FAST | {"experiment": "wrong"} | changes))
    done = project.snakemake("--configfile", "wrong.yaml")
    assert done.returncode != 0
    message = told(done.stdout)
    assert message.startswith("wrong.yaml:")
    assert named in message
    assert not project.results("wrong").exists()


def told(output: str) -> str:
    """The only line of the output; what Snakemake says of the profile and of `--config` is left out."""
    (line,) = (x for x in output.splitlines() if not x.startswith(("Using workflow specific profile", "Config file")))
    return line


TRAPS = {
    "a key twice": ("seeds: [1]\n", "seeds: is given twice, first in line "),
    "octal": ("threads: 010\n", "threads: 010 is read as an octal number, 8"),
    "base 60": ("loader_workers: 1:30\n", "loader_workers: 1:30 is read as a number to the base 60"),
    "true as a number": ("threads: true\n", "threads: a number is expected, but this is true"),
}


@pytest.mark.parametrize(("line", "named"), TRAPS.values(), ids=TRAPS)
def test_what_snakemake_reads_otherwise_than_it_looks_is_refused_with_its_line(
    project: Project, line: str, named: str
) -> None:
    text = yaml.safe_dump(FAST | {"experiment": "wrong"}) + line
    (project.root / "wrong.yaml").write_text(text)
    done = project.snakemake("--dry-run", "--configfile", "wrong.yaml")
    assert done.returncode != 0
    assert told(done.stdout).startswith(f"wrong.yaml:{len(text.splitlines())}: {named}")


@pytest.mark.parametrize("content", [b"a: [\n", b"a:\n\tb: 1\n", b"a: \xe9\n", b"a: &x [*x]\n", b"a: 1\n---\nb: 1\n"])
def test_a_default_file_that_snakemake_cannot_read_is_one_line_with_its_name(project: Project, content: bytes) -> None:
    (project.root / "config/config.yaml").write_bytes(content)
    try:
        done = project.snakemake("--dry-run")
    finally:
        project.write_config()
    assert done.returncode != 0
    assert told(done.stdout).startswith("config/config.yaml:")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"in_rnk": 0.5}, "define.T.options.in_rnk: layer 'tucker' has no option 'in_rnk'; did you mean 'in_rank'?"),
        ({"in_rank": -3}, "define.T.options.in_rank: "),
    ],
)
def test_a_wrong_option_of_a_method_is_found_before_any_job_starts(
    project: Project, options: dict[str, object], message: str
) -> None:
    define = {"T": {"layer": "tucker", "options": options}}
    (project.root / "wrong.yaml").write_text(yaml.safe_dump(FAST | {"variants": ["conv", "T"], "define": define}))
    done = project.snakemake("--dry-run", "--configfile", "wrong.yaml")
    assert done.returncode != 0
    assert re.match(rf"wrong\.yaml:\d+: {re.escape(message)}", told(done.stdout))


def resolved(project: Project, experiment: str, *arguments: str) -> Config:
    """The configuration as the jobs see it, from the cheapest job."""
    done = project.snakemake(*arguments, "--", f"results/{experiment}/complexity.json")
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


def test_full_grid_is_planned_within_seconds(project: Project) -> None:
    started = time.perf_counter()
    planned = project.planned("--configfile", "config/paper.yaml", "--config", "experiment=planned")
    elapsed = time.perf_counter() - started
    once = ("complexity", "collect", "tables", "figures", "claims", "page")
    assert planned == {"train": 360, **dict.fromkeys(once, 1)}
    assert elapsed < 90


TWO_GPUS = {"CUDA_VISIBLE_DEVICES": "GPU-a,GPU-b"}


@pytest.mark.parametrize(("arguments", "gpu"), [((), 6), (("--resources", "gpu=2"), 2)])
def test_as_many_runs_at_once_as_there_are_places_on_gpus(
    project: Project, arguments: tuple[str, ...], gpu: int
) -> None:
    path = project.root / "places.yaml"
    path.write_text(yaml.safe_dump(FAST | {"experiment": "places", "device": "auto", "runs_per_gpu": 3}))
    target = ("--force", "--", "results/places/complexity.json")
    done = project.snakemake("--configfile", "places.yaml", *arguments, *target, **TWO_GPUS)
    assert done.returncode == 0, done.stdout
    provided = re.search(r"^Provided resources: .*\bgpu\D*(\d+)", done.stdout, re.M)
    assert provided is not None, done.stdout
    assert int(provided[1]) == gpu


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


HERE: tuple[str, ...] = ()
CLUSTER = ("--workflow-profile", "profiles/slurm", "--executor", "dryrun")


@pytest.mark.parametrize(
    ("device", "profile", "visible", "gpu"),
    [
        ("auto", HERE, "GPU-a,GPU-b", "1"),
        ("auto", HERE, "", "1"),
        ("auto", CLUSTER, "", "1"),
        ("cuda", CLUSTER, "", "1"),
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
    assert {found[rule]["gpu"] for rule in ("complexity", "collect", "figures", "page")} == {"0"}


@pytest.mark.parametrize(
    ("arguments", "changed"),
    [
        (("--set-resources", "train:runtime=600", "--set-threads", "train=2"), {"runtime": "600", "threads": "2"}),
        (("--default-resources", "slurm_partition=main", "mem_mb=1", "runtime=1"), {"slurm_partition": "main"}),
        (("--config", 'needs={"train": {"mem_mb": 2000}}'), {"mem_mb": "2000"}),
    ],
)
def test_an_override_changes_what_it_names_and_nothing_else(
    project: Project, arguments: tuple[str, ...], changed: dict[str, str]
) -> None:
    dry = project.snakemake("-n", "--cores", "4", *arguments)
    assert dry.returncode == 0, dry.stdout
    expected = NEEDED | {"gpu": "0", "threads": "1"} | changed  # the project's device is the CPU
    found = asked(dry.stdout)["train"]
    assert {name: found[name] for name in expected} == expected


def test_a_timing_has_the_machine_to_itself(project: Project) -> None:
    found = asked(project.snakemake("-n", "--config", TIMED).stdout)
    alone, shared = int(found["throughput"]["machine"]), int(found["train"]["machine"])
    target = ("--force", "--", "results/fast/complexity.json")
    provided = re.search(r"^Provided resources: .*\bmachine\D*(\d+)", project.snakemake(*target).stdout, re.M)
    assert provided is not None
    assert alone + shared > int(provided[1]) >= 1000 * shared
    assert found["throughput"]["slurm_extra"] == "--exclusive"


def test_a_rule_that_does_not_exist_needs_nothing(project: Project) -> None:
    done = project.snakemake("-n", "--config", 'needs={"trian": {"mem_mb": 9000}}')
    assert done.returncode != 0
    assert "did you mean 'train'" in told(done.stdout)


def test_workers_train_all_runs_in_as_many_jobs(project: Project) -> None:
    planned = project.planned("--config", "experiment=crowd", "workers=2", "seeds=[0, 1, 2]")
    assert planned == {"work": 2, **dict.fromkeys(("complexity", "collect", "tables", "figures", "claims", "page"), 1)}


def test_profile_keeps_no_incomplete_file() -> None:
    for path in (REPOSITORY / "profiles").glob("*/config.yaml"):
        profile = yaml.safe_load(path.read_text())
        assert "keep-incomplete" not in profile, path
        for key in ("keep-going", "rerun-incomplete", "show-failed-logs"):
            assert profile[key] is True, path
