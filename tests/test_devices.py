"""Device slots: one process per GPU, decided before torch is imported. The GPUs here are names only."""

import contextlib
import os
import stat
import threading

import pytest

from linconv.devices import DeviceError, device_slot, visible_gpus


@pytest.fixture
def two_gpus(monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b")
    only_here(monkeypatch, tmp_path)


def only_here(monkeypatch, folder):
    """Locks lie in the folder, and no scheduler has started the tests."""
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(folder))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder / "no such folder"))
    for name in ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID"):
        monkeypatch.delenv(name, raising=False)


def test_cpu_takes_no_slot(two_gpus):
    with device_slot("cpu") as device:
        assert device == "cpu"
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-a,GPU-b"


def test_each_holder_gets_a_gpu_of_its_own_and_the_third_waits(two_gpus, monkeypatch):
    with device_slot("auto") as device:
        assert (device, os.environ["CUDA_VISIBLE_DEVICES"]) == ("cuda", "GPU-a")
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b")
        second = device_slot("cuda")
        second.__enter__()
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-b"
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b")
        got = []

        def third():
            with device_slot("cuda", poll_seconds=0.01):
                got.append(os.environ["CUDA_VISIBLE_DEVICES"])

        waiting = threading.Thread(target=third)
        waiting.start()
        waiting.join(0.2)
        assert waiting.is_alive()
        second.__exit__(None, None, None)
        waiting.join(10)
        assert got == ["GPU-b"]


def one_of_several(monkeypatch, local_rank, gpus):
    places = {"RANK": local_rank, "LOCAL_RANK": local_rank, "WORLD_SIZE": 4, "MASTER_ADDR": "a", "MASTER_PORT": 1}
    for name, value in places.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)


@pytest.mark.parametrize(("local_rank", "gpus", "own"), [(0, "a,b", "a"), (1, "a,b", "b"), (3, "d", "d")])
def test_each_of_several_processes_of_a_run_has_its_own_gpu(local_rank, gpus, own, two_gpus, monkeypatch):
    one_of_several(monkeypatch, local_rank, gpus)
    with device_slot("cuda") as device:
        assert (device, os.environ["CUDA_VISIBLE_DEVICES"]) == ("cuda", own)
        one_of_several(monkeypatch, local_rank, gpus)
        with pytest.raises(DeviceError, match=f"GPU {own} is taken by another process"), device_slot("cuda"):
            pass


def test_more_processes_than_gpus_are_refused(two_gpus, monkeypatch):
    one_of_several(monkeypatch, 2, "a,b")
    with pytest.raises(DeviceError, match="process 2 of this machine has no GPU, 2 are visible"), device_slot("cuda"):
        pass


def test_runs_share_gpus_evenly_and_no_more_of_them_than_there_are_places(two_gpus, monkeypatch):
    with contextlib.ExitStack() as stack:
        taken = []
        for _ in range(6):
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b")
            stack.enter_context(device_slot("auto", runs_per_gpu=3))
            taken.append(os.environ["CUDA_VISIBLE_DEVICES"])
        assert taken == ["GPU-a", "GPU-b"] * 3
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b")
        seventh = threading.Thread(target=lambda: stack.enter_context(device_slot("auto", 3, poll_seconds=0.01)))
        seventh.start()
        seventh.join(0.2)
        assert seventh.is_alive()
        stack.close()
        seventh.join(10)
        assert not seventh.is_alive()
        stack.close()


def test_without_a_gpu(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_gpus() == []
    with device_slot("auto") as device:
        assert device == "cpu"
    with pytest.raises(DeviceError, match="use 'auto' or 'cpu'"), device_slot("cuda"):
        pass


def test_jobs_whose_gpus_have_the_same_index_do_not_wait_for_each_other(monkeypatch, tmp_path):
    """As under Slurm, where each job sees one GPU, called 0."""
    only_here(monkeypatch, tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    driver = tmp_path / "nvidia-smi"
    taken = []
    with contextlib.ExitStack() as stack:
        for uuid in ("GPU-a", "GPU-b"):
            driver.write_text(f"#!/bin/sh\necho '0, {uuid}'\n")
            driver.chmod(0o755)
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
            stack.enter_context(device_slot("cuda"))
            taken.append(os.environ["CUDA_VISIBLE_DEVICES"])
    assert taken == ["0", "0"]
    assert {path.name for path in tmp_path.glob("*/*.lock")} == {"GPU-a.0.lock", "GPU-b.0.lock"}


def test_waiting_for_a_gpu_is_logged(two_gpus, monkeypatch, caplog):
    caplog.set_level("INFO", "linconv")
    with device_slot("cuda"), contextlib.ExitStack() as stack:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a")
        waiting = threading.Thread(target=lambda: stack.enter_context(device_slot("cuda", poll_seconds=0.01)))
        waiting.start()
        waiting.join(0.2)
    waiting.join(10)
    assert [m for m in caplog.messages if m != "importing torch"] == ["waiting for a place on GPU GPU-a"]


@pytest.mark.parametrize("scheduler", ["SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID"])
def test_jobs_do_not_wait_for_each_other_where_no_tool_tells_their_gpus_apart(monkeypatch, tmp_path, scheduler):
    """As in a container without nvidia-smi: every job's GPU is called 0."""
    only_here(monkeypatch, tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "no tools"))
    with contextlib.ExitStack() as stack:
        for job in ("7", "8"):
            monkeypatch.setenv(scheduler, job)
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
            stack.enter_context(device_slot("cuda"))
        second = threading.Thread(target=lambda: stack.enter_context(device_slot("cuda", poll_seconds=0.01)))
        second.start()
        second.join(0.2)
        assert second.is_alive(), "within a job, runs do wait for its only GPU"
        stack.close()
        second.join(10)
        assert not second.is_alive()
        stack.close()


def test_a_job_takes_no_gpu_that_the_scheduler_did_not_give(monkeypatch, tmp_path, caplog):
    """A site that does not confine devices: the driver lists the cards of all jobs."""
    only_here(monkeypatch, tmp_path)
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\necho GPU-of-another-job\n")
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    with device_slot("auto") as device:
        assert device == "cpu"
    assert "Slurm gave this job no GPU" in caplog.text
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # put back in the end
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    with device_slot("cuda") as device:
        assert (device, os.environ["CUDA_VISIBLE_DEVICES"]) == ("cuda", "GPU-of-another-job")


@pytest.mark.skipif(os.name != "posix", reason="a user's own temporary folder needs no owner and mode")
class TestFolder:
    def test_it_is_the_users_own(self, two_gpus, monkeypatch, tmp_path):
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "runtime"))
        (tmp_path / "runtime").mkdir()
        with device_slot("cuda"):
            (folder,) = (tmp_path / "runtime").iterdir()
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700

    def test_one_that_others_may_write_to_is_closed(self, two_gpus, tmp_path):
        folder = tmp_path / f"linconv-gpu-slots-{os.getuid()}"
        folder.mkdir()
        folder.chmod(0o777)
        with device_slot("cuda"):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives a folder away")
    def test_that_of_another_user_is_refused(self, two_gpus, tmp_path):
        folder = tmp_path / f"linconv-gpu-slots-{os.getuid()}"
        folder.mkdir()
        os.chown(folder, 65534, 65534)
        with pytest.raises(DeviceError, match="belongs to another user"), device_slot("cuda"):
            pass

    def test_a_link_is_refused(self, two_gpus, tmp_path):
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / f"linconv-gpu-slots-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(DeviceError, match="is no folder"), device_slot("cuda"):
            pass


@pytest.mark.parametrize("word", ["tpu", "gpu", "CPU", "cuda:0", ""])
def test_a_word_that_is_no_device_is_refused(two_gpus, word):
    """It trained on the CPU without a word."""
    with pytest.raises(DeviceError, match=f"device '{word}' is not known"), device_slot(word):
        pass
