"""The pipeline on a real Slurm cluster of two nodes: it starts, asks for what it should, and goes on after a stop."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from linconv.report.tables import FORMATS
from linconv.results import RunResult, read_result
from tests.workflow.cluster import Cluster, missing, running_cluster
from tests.workflow.conftest import Project

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))

DOCUMENTED = ("--workflow-profile", "profiles/slurm")
# There is no accounting database here, so the queue says which jobs have ended; and it is asked more often.
WATCHED = ("--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "2")
QUICKLY = ("--seconds-between-status-checks", "3", "--latency-wait", "10")
GRID = '"architectures": ["base"], "variants": ["L"], "batches": [50], "rounds": 3, "block_seconds": 0.001'
TIMED = f"throughput={{{GRID}}}"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    lock = FileLock(Path(tempfile.gettempdir(), "linconv-test-cluster.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        pytest.skip("another process has its cluster on this machine")
    with lock, running_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


def snakemake(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    return project.snakemake(*DOCUMENTED, *WATCHED, *QUICKLY, *arguments)


def test_the_documented_command_ends_with_all_tables(cluster: Cluster, project: Project) -> None:
    done = snakemake(project, "--config", "experiment=queued", TIMED)
    assert done.returncode == 0, done.stdout
    root = project.results("queued")
    assert {path.suffix for path in (root / "tables").glob("table1.*")} == {f".{suffix}" for suffix in FORMATS}
    assert "2 of 2 finished" in (root / "report.html").read_text(encoding="utf-8")
    submitted = re.findall(r"^Job \d+ has been submitted with SLURM jobid (\d+)", done.stdout, re.M)
    # two trainings, the counts and two timings: what only reports runs beside Snakemake
    assert len(submitted) == 5, done.stdout
    assert {cluster.jobs()[number]["JobState"] for number in submitted} == {"COMPLETED"}


def test_a_second_call_submits_nothing(cluster: Cluster, project: Project) -> None:
    known = set(cluster.jobs())
    again = snakemake(project, "--config", "experiment=queued", TIMED)
    assert "Nothing to be done" in again.stdout
    assert set(cluster.jobs()) == known


def waiting_jobs(cluster: Cluster, project: Project, *arguments: str) -> list[dict[str, str]]:
    """What is submitted while no job starts."""
    before = set(cluster.jobs())
    cluster.queue("DOWN")
    try:
        config = ("--config", "experiment=waiting", *arguments)
        process = project.start(*DOCUMENTED, *WATCHED, *QUICKLY, "--retries", "0", *config)
        try:
            cluster.wait_for(lambda: len(set(cluster.jobs()) - before) == 5, "five jobs in the queue")
            jobs = [job for number, job in cluster.jobs().items() if number not in before]
            cluster.cancel()
        finally:
            process.wait(120)
    finally:
        cluster.queue("UP")
    return jobs


def gpus(job: dict[str, str]) -> str | None:
    return job.get("TresPerJob")


def test_without_a_gpu_in_the_configuration_no_job_asks_for_one(cluster: Cluster, project: Project) -> None:
    jobs = waiting_jobs(cluster, project, "device=cpu", TIMED)
    assert {gpus(job) for job in jobs} == {None}


def test_an_override_keeps_the_gpu_and_the_memory(cluster: Cluster, project: Project) -> None:
    """The submitting machine has no GPU, and the device is left to the configuration's default."""
    arguments = ("device=auto", TIMED, "--set-resources", "train:runtime=7", "--default-resources", "mem_mb=1")
    jobs = waiting_jobs(cluster, project, *arguments)
    trainings = [job for job in jobs if job["TimeLimit"] == "00:07:00"]
    assert [(gpus(job), job["MinMemoryNode"]) for job in trainings] == [("gres:gpu:1", "16000M")] * 2
    # the timings too, alone on their nodes; the counts need no GPU
    others = [(gpus(job), job["OverSubscribe"]) for job in jobs if job not in trainings]
    assert sorted(others, key=str) == [("gres:gpu:1", "NO"), ("gres:gpu:1", "NO"), (None, "OK")]


HOLDING = """
import os
from linconv.devices import device_slot, visible_gpus
given = visible_gpus()
with device_slot("auto") as device:
    print(given, device, os.environ.get("CUDA_VISIBLE_DEVICES"))
"""


@pytest.mark.parametrize(("asked", "said"), [(1, "['0'] cuda 0"), (0, "[] cpu None")])
def test_a_job_holds_the_gpu_that_slurm_gave_it_and_no_other(
    cluster: Cluster, project: Project, asked: int, said: str
) -> None:
    (project.root / "holding.py").write_text(HOLDING)
    options = [f"--gpus={asked}", "--mem=1G", "--time=5", "--output=holding.log", "--wait"]
    command = ["sbatch", *options, "--wrap", f"{sys.executable} holding.py"]
    subprocess.run(command, cwd=project.root, env=project.environment, check=True, capture_output=True, timeout=120)
    assert (project.root / "holding.log").read_text().splitlines()[-1] == said


EPOCHS = {"synthetic": 60, "digits": 15}  # several seconds: a training is caught within


@pytest.fixture(scope="module")
def stopped(cluster: Cluster, project: Project) -> Project:
    """Three trainings that end well although one reached its time limit, one was requeued and one cancelled."""
    grid = ["experiment=stopped", "datasets=[synthetic, digits]", "variants=[conv, L]"]
    overrides = [{"datasets": [name], "architectures": ["base"], "set": {"epochs": n}} for name, n in EPOCHS.items()]
    grid += [f"recipe={json.dumps({'overrides': overrides})}"]
    grid += ['exclude=[{"datasets": ["synthetic"], "variants": ["L"]}]']
    # a minute is the shortest limit that Slurm knows; the training is halted until it is over, however fast it is
    runtime = 'train:runtime=1 if attempt == 1 and wildcards.dataset == "synthetic" else 20'
    before = set(cluster.jobs())
    process = project.start(
        *DOCUMENTED, *WATCHED, *QUICKLY, "--until", "train", "--set-resources", runtime, "--config", *grid
    )
    stops = {
        "synthetic/base/conv": halt,
        "digits/base/conv": lambda run: cluster.ask("scontrol", "requeue", job_of(cluster, before, run)),
        "digits/base/L": lambda run: cluster.cancel(job_of(cluster, before, run)),
    }
    runs = project.results("stopped") / "runs"
    try:
        while stops:
            cluster.wait_for(
                lambda: any((runs / r / "seed0/checkpoint.pt").exists() for r in stops), "a checkpoint", 300
            )
            run = next(r for r in stops if (runs / r / "seed0/checkpoint.pt").exists())
            stops.pop(run)(run)
        assert process.wait(600) == 0, project.told()
    finally:
        if process.poll() is None:
            cluster.cancel()
            process.terminate()
            process.wait(120)
    return project


def halt(run: str) -> None:
    """Stop the process that trains a run, until something lets it go on: the signals of a time limit do."""
    words = [f"--{name}" for name in ("dataset", "architecture", "variant")]
    wanted = dict(zip(words, run.split("/"), strict=True)).items()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended
            given = path.read_text(encoding="utf-8", errors="replace").split("\0")
            # other tests train the same networks at the same time
            ours = any(word.startswith("results/stopped/") for word in given)
            if ours and "train" in given and wanted <= set(itertools.pairwise(given)):
                os.kill(int(path.parent.name), signal.SIGSTOP)
                return
    raise AssertionError(f"no process trains {run}")


def job_of(cluster: Cluster, before: set[str], run: str) -> str:
    """The number of the running job of a run, told by its comment, which names the wildcards."""
    name = f"{run.replace('/', '_')}_"
    (number,) = (
        number
        for number, job in cluster.jobs().items()
        if number not in before and job["JobState"] == "RUNNING" and name in job.get("Comment", "") + "_"
    )
    return number


def attempts_of(root: Path, run: str) -> list[str]:
    """The jobs that trained a run, in order; its log holds all of them."""
    log = (root / "logs" / "train" / run / "seed0.log").read_text()
    assert re.search(r"continuing after epoch [1-9]", log), log
    return re.findall(r"^== \S+ job (\d+)$", log, re.M)


@pytest.mark.parametrize("run", ["synthetic/base/conv", "digits/base/conv", "digits/base/L"])
def test_a_stopped_training_goes_on_and_ends(stopped: Project, run: str) -> None:
    """Its time was over, it was requeued, it was cancelled."""
    root = stopped.results("stopped")
    result = read_result(root / "runs" / run / "seed0" / "result.json", RunResult)
    assert result.status == "ok"
    earlier = result.provenance.earlier_processes
    assert earlier, "it was never stopped"
    assert [epoch.epoch for epoch in result.history] == list(range(1, len(result.history) + 1))
    assert len(attempts_of(root, run)) > len(earlier)


def test_a_requeued_job_is_the_same_one_and_a_cancelled_one_is_followed_by_another(stopped: Project) -> None:
    root = stopped.results("stopped")
    requeued, cancelled = (attempts_of(root, f"digits/base/{variant}") for variant in ("conv", "L"))
    assert requeued[0] == requeued[1]
    assert cancelled[0] != cancelled[1]


def test_an_array_of_workers_trains_all_runs_and_a_stopped_worker_goes_on(cluster: Cluster, project: Project) -> None:
    recipe = {"overrides": [{"set": {"epochs": 6}}]}
    project.write_config(experiment="array", variants=["conv", "L", "Lr"], recipe=recipe, workers=2)
    here = {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    environment = project.environment | here
    script = ["profiles/slurm/workers.sbatch", "config/config.yaml"]
    options = ["--parsable", "--array=1-2", "--gpus=0", "--mem=8G", "--cpus-per-task=1", "--time=10", "--output=%a.log"]
    done = subprocess.run(
        ["sbatch", *options, *script], cwd=project.root, env=environment, check=True, capture_output=True, text=True
    )
    number = done.stdout.strip()

    def tasks() -> list[dict[str, str]]:
        return [job for job in cluster.jobs().values() if job.get("ArrayJobId") == number]

    runs = project.results("array") / "runs/synthetic/base"
    cluster.wait_for(lambda: list(runs.glob("*/seed0/checkpoint.pt")), "a checkpoint", 300)
    cluster.ask("scancel", "--batch", "--signal=TERM", f"{number}_1")
    cluster.wait_for(lambda: {job["JobState"] for job in tasks()} == {"COMPLETED"}, "the end of all workers", 600)
    assert sorted(path.parent.parent.name for path in runs.glob("*/seed0/result.json")) == ["L", "Lr", "conv"]
    assert {job["ArrayTaskId"]: int(job["Restarts"]) for job in tasks()} == {"1": 1, "2": 0}
    project.write_config()
