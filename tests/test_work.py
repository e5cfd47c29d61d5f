"""Runs of several configurations trained by one process: the same results as alone, within a time, after a stop."""

import contextlib
import re
import subprocess
import sys
import threading
import time

import pytest
import yaml

from linconv import runner
from linconv.config import RunKey, load_config, plan_runs
from linconv.config.errors import UserError
from linconv.config.parts import run_parts
from linconv.measure.origin import COMMIT, DIRTY
from linconv.pipeline import find_missing
from linconv.results import RunResult, read_result, write_result
from linconv.results.arrays import write_npz
from linconv.results.code import code_hash
from linconv.results.collect import collect
from linconv.results.planned import last_word
from linconv.results.run_folder import locked
from linconv.training.checkpoint import CURRENT
from linconv.training.graphs import Rerun
from linconv.work import Worker, find_jobs, is_done
from linconv.work.turns import Turns
from tests.results.factory import make_run

RATE = 2**-10  # exact in single precision, which the device holds the rate in


def configuration(folder, name="few", **values):
    raw = {
        "experiment": name,
        "datasets": ["synthetic"],
        "architectures": ["base"],
        "variants": ["conv", "LRr"],
        "seeds": [0, 1],
        "recipe": {"overrides": [{"set": {"epochs": 2, "learning_rate": RATE}}]},
        "correlation_layers": [1],
        **values,
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(raw))
    return path


def test_all_variants_of_a_seed_come_before_the_next_seed(tmp_path):
    first, second = configuration(tmp_path, "first"), configuration(tmp_path, "second", seeds=[5], variants=["conv"])
    jobs = find_jobs([first, second], tmp_path / "results")
    assert [(j.run.experiment, j.run.key.variant, j.run.key.seed) for j in jobs] == [
        ("first", "conv", 0),
        ("first", "LRr", 0),
        ("first", "conv", 1),
        ("first", "LRr", 1),
        ("second", "conv", 5),
    ]
    assert jobs[1].command == (
        "linconv train first.yaml --dataset synthetic --architecture base --variant LRr --seed 0 --results results"
    )


def test_all_seeds_of_a_variant_can_come_before_the_next_variant(tmp_path):
    config = configuration(tmp_path, variants=["LRr", "conv"], seeds=[1, 0])
    jobs = find_jobs([config], tmp_path / "results", "variant")
    assert [(j.run.key.variant, j.run.key.seed) for j in jobs] == [("LRr", 1), ("LRr", 0), ("conv", 1), ("conv", 0)]


def test_side_by_side_each_run_computes_what_it_computes_alone(tmp_path):
    config = configuration(tmp_path, recipe={"overrides": [{"set": {"epochs": 1, "learning_rate": RATE}}]})
    alone, together = tmp_path / "alone", tmp_path / "together"
    done = Worker("cpu").work(find_jobs([config], alone))
    assert [job.outcome for job in done] == ["done"] * 4
    done = Worker("cpu", side_by_side=3, device_side=Rerun).work(find_jobs([config], together))
    assert sorted(job.outcome for job in done) == ["done"] * 4
    for job in find_jobs([config], tmp_path / "none"):
        relative = job.folder.relative_to(tmp_path / "none")
        wanted, found = (read_result(root / relative / "result.json", RunResult) for root in (alone, together))
        assert found.history == wanted.history
        assert found.outcomes == wanted.outcomes
        assert found.provenance.numerics["runs_side_by_side"] == 3
        assert not (together / relative / CURRENT).exists()
    assert find_jobs([config], together) == [], "a second worker has nothing to do"


def test_a_failed_run_leaves_the_others(tmp_path):
    config = configuration(tmp_path, datasets=["svhn", "synthetic"], seeds=[0], data_root=str(tmp_path / "nothing"))
    done = Worker("cpu").work(find_jobs([config], tmp_path / "results"))
    assert [(job.key.dataset, job.outcome) for job in done] == [
        ("svhn", "failed"),
        ("svhn", "failed"),
        ("synthetic", "done"),
        ("synthetic", "done"),
    ]
    assert "SVHN: missing" in done[0].detail
    root = tmp_path / "results" / "few"
    collected = collect(load_config(config), root, partial=True)
    lacking = [problem for problem in collected.problems if problem.kind == "run"]
    assert [problem.key.dataset for problem in lacking] == ["svhn", "svhn"]
    assert all(problem.detail.startswith("error: DataError: SVHN: missing in ") for problem in lacking)
    assert not list(root.glob("logs/train/synthetic/**/*.log"))
    find_jobs([config], tmp_path / "results")[0].note("outcome: done")
    assert last_word(root / done[0].key.log) == "outcome: done", "of the last attempt alone"


def test_workers_share_the_runs_and_train_none_twice(tmp_path):
    """Two processes with the same list of jobs, as on two machines."""
    config, results = configuration(tmp_path, recipe={"overrides": [{"set": {"epochs": 1}}]}), tmp_path / "results"
    command = [sys.executable, "-m", "linconv.cli", "work", str(config), "--results", str(results), "--device", "cpu"]
    workers = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    told = [worker.communicate(timeout=300)[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], told
    done = [re.findall(r" (\S+): done after", text) for text in told]
    assert sorted(done[0] + done[1]) == sorted(str(key) for key in plan_runs(load_config(config)))


def test_a_run_that_another_process_finished_meanwhile_is_not_trained_again(tmp_path):
    config, results = configuration(tmp_path, variants=["conv"], seeds=[0]), tmp_path / "results"
    jobs = find_jobs([config], results)
    assert [done.outcome for done in Worker("cpu").work(jobs)] == ["done"]
    before = (jobs[0].folder / "result.json").read_bytes()
    assert [done.outcome for done in Worker("cpu").work(jobs)] == ["elsewhere"]
    assert (jobs[0].folder / "result.json").read_bytes() == before


def test_a_run_that_another_process_gave_up_is_taken_in_the_end(tmp_path):
    config, results = configuration(tmp_path, variants=["conv"]), tmp_path / "results"
    jobs = find_jobs([config], results)
    with contextlib.ExitStack() as other:
        other.enter_context(locked(jobs[0].folder))

        class Meeting(Worker):
            def _attempt(self, job, count):
                found = super()._attempt(job, count)
                if job is jobs[1]:
                    other.close()
                return found

        done = Meeting("cpu").work(jobs)
    assert [(job.key.seed, job.outcome) for job in done] == [(1, "done"), (0, "done")]


def test_a_run_that_another_process_trains_is_left_to_it(tmp_path):
    config, results = configuration(tmp_path, variants=["conv"], seeds=[0]), tmp_path / "results"
    jobs = find_jobs([config], results)
    with locked(jobs[0].folder):
        done = Worker("cpu").work(jobs)
    assert [job.outcome for job in done] == ["elsewhere"]
    assert not (jobs[0].folder / "result.json").exists()


def test_no_run_begins_after_its_time(tmp_path):
    done = Worker("cpu", budget_seconds=0.0).work(find_jobs([configuration(tmp_path)], tmp_path / "results"))
    assert {job.outcome for job in done} == {"no time"}
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("device_side", [pytest.param(None, marks=pytest.mark.slow), Rerun])
def test_a_run_cut_off_by_its_time_continues_to_the_same_result(tmp_path, device_side, monkeypatch):
    monkeypatch.setenv("LINCONV_GIT_COMMIT", "0" * 40)  # as if it were made during the training
    recipe = {"overrides": [{"set": {"epochs": 4, "learning_rate": RATE}}]}
    config = configuration(tmp_path, variants=["conv"], seeds=[0], recipe=recipe)
    options = {} if device_side is None else {"device_side": device_side}
    Worker("cpu", **options).work(find_jobs([config], tmp_path / "whole"))

    class Impatient(Worker):
        def ends(self):
            return time.monotonic() - self._started > 0 and bool(self.asked.append(1) or len(self.asked) > 2)

    impatient = Impatient("cpu", **options)
    impatient.asked = []
    (cut,) = impatient.work(find_jobs([config], tmp_path / "cut"))
    assert cut.outcome == "stopped"
    (job,) = find_jobs([config], tmp_path / "cut")
    assert (job.folder / CURRENT).exists()
    (continued,) = Worker("cpu", **options).work([job])
    assert continued.outcome == "done"
    key = RunKey("synthetic", "base", "conv", 0)
    wanted, found = (read_result(tmp_path / n / "few" / key.path / "result.json", RunResult) for n in ("whole", "cut"))
    assert found.history == wanted.history
    assert [(p.epochs, p.git_commit, p.git_dirty) for p in found.provenance.earlier_processes] == [(2, COMMIT, DIRTY)]
    assert found.provenance.git_commit == COMMIT != "0" * 40


def test_a_long_epoch_ends_at_once_and_the_run_continues_to_the_same_result(tmp_path, monkeypatch):
    """Whoever asks a process to stop kills it before long; an epoch on a CPU can take minutes."""
    monkeypatch.setattr("linconv.work.worker.CHECKPOINT_SECONDS", 0.0)
    recipe = {"overrides": [{"set": {"epochs": 3, "learning_rate": RATE}}]}
    config = configuration(tmp_path, variants=["conv"], seeds=[0], recipe=recipe)
    Worker("cpu").work(find_jobs([config], tmp_path / "whole"))
    (job,) = find_jobs([config], tmp_path / "cut")
    steps = []

    class AfterOneStepMore(Worker):
        def ends(self):
            within_the_second_epoch = (job.folder / CURRENT).exists()
            steps.append(within_the_second_epoch)
            return within_the_second_epoch and steps.count(True) > 2  # the first is the end of the first epoch

    (cut,) = AfterOneStepMore("cpu").work([job])
    assert (cut.outcome, cut.detail) == ("stopped", "interrupted after epoch 1/3")
    assert steps.count(True) == 3
    (continued,) = Worker("cpu").work([job])
    assert continued.outcome == "done"
    key = RunKey("synthetic", "base", "conv", 0)
    wanted, found = (read_result(tmp_path / n / "few" / key.path / "result.json", RunResult) for n in ("whole", "cut"))
    assert found.history == wanted.history


def test_no_epoch_begins_for_which_the_time_is_too_short(tmp_path):
    class Late(Worker):
        seconds_left = 1e-3  # less than an epoch takes, but not over

    done = Late("cpu").work(find_jobs([configuration(tmp_path, variants=["conv"])], tmp_path / "results"))
    assert [(job.outcome, job.detail) for job in done] == [
        ("stopped", "interrupted after epoch 1/2"),
        ("no time", ""),
    ]


def test_a_cpu_takes_one_run_at_a_time():
    with pytest.raises(UserError, match="--side-by-side 1"):
        Worker("cpu", side_by_side=2)


def test_a_gpu_trains_by_graphs_unless_the_network_changes(tmp_path):
    define = {"pruned": {"layer": "conv", "pruning": {"criterion": "l1", "params": 0.5}}}
    config = configuration(tmp_path, variants=["conv", "LRr", "pruned"], seeds=[0], define=define)
    runs = [job.run for job in find_jobs([config], tmp_path)]
    assert [Worker("cuda").uses_graphs(run) for run in runs] == [True, True, False]
    assert not any(Worker("cpu").uses_graphs(run) for run in runs)


def test_a_capture_waits_for_the_launches_of_other_threads():
    turns = Turns()
    order = []
    launched, release = threading.Event(), threading.Event()

    def launches():
        with turns, turns.launching():
            launched.set()
            release.wait(5)
            order.append("launched")

    def captures():
        launched.wait(5)
        with turns, turns.capturing():
            order.append("captured")

    threads = [threading.Thread(target=target) for target in (launches, captures)]
    for thread in threads:
        thread.start()
    launched.wait(5)
    time.sleep(0.1)
    assert order == []
    release.set()
    for thread in threads:
        thread.join(5)
    assert order == ["launched", "captured"]


def written(folder, run, **changes):
    """A whole result of a run, as other code has made it unless `changes` say otherwise."""
    made = make_run(load_config(folder.parents[len(run.key.path.parts) + 1] / "few.yaml"), run.key)
    write_result(folder / "result.json", made.model_copy(update=changes))
    write_npz(folder / "correlations.npz", {})


def test_results_of_other_code_are_kept_unless_they_are_to_be_renewed(tmp_path, caplog):
    caplog.set_level("INFO", logger="linconv")
    config = configuration(tmp_path)
    first, second, third, fourth = find_jobs([config], tmp_path / "results")
    for job in (first, second):
        written(job.folder, job.run)
    written(third.folder, third.run, code_hash=code_hash("run", run_parts(third.run)))
    assert [job.run for job in find_jobs([config], tmp_path / "results")] == [fourth.run]
    assert "few: 2 results of other code are kept; --renew trains them again" in caplog.text
    assert is_done(first)
    assert not is_done(fourth)
    again = find_jobs([config], tmp_path / "results", renew=True)
    assert [job.run for job in again] == [first.run, second.run, fourth.run]
    assert not any(is_done(job) for job in again)


def test_a_line_says_that_a_result_of_other_code_will_be_replaced(tmp_path, caplog):
    caplog.set_level("INFO", logger="linconv")
    job = find_jobs([configuration(tmp_path)], tmp_path / "results")[0]
    written(job.folder, job.run)
    assert runner._begun(job.run, job.config, job.folder, force=False) is None
    assert "the result that is there is of other code; a new one will replace it" in caplog.text
    written(job.folder, job.run, code_hash=code_hash("run", run_parts(job.run)))
    assert runner._begun(job.run, job.config, job.folder, force=False) is not None


def test_a_pipeline_trains_what_a_worker_finds(tmp_path):
    config = configuration(tmp_path)
    jobs = find_jobs([config], tmp_path / "results")
    for job in jobs[:3]:
        written(job.folder, job.run)
    write_result(jobs[0].folder / "result.json", make_run(load_config(config), jobs[1].run.key))
    (jobs[2].folder / "correlations.npz").unlink()
    missing = find_missing(load_config(config), tmp_path / "results" / "few").problems["run"]
    found = [job.run.key for job in find_jobs([config], tmp_path / "results")]
    assert sorted(problem.key for problem in missing) == sorted(found)
    assert found[0] == jobs[0].run.key
    assert found[-1] == jobs[3].run.key
