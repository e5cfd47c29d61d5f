"""Device slots: one process per GPU, decided before torch is imported. The GPUs here are names only."""

import contextlib
import os
import sys
import threading

import pytest

from linconv import devices
from linconv.devices import DeviceError, device_slot, visible_gpus


@pytest.fixture
def two_gpus(monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b")
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))


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
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
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
    assert caplog.messages == ["waiting for a place on GPU GPU-a"]


@pytest.mark.skipif(sys.platform == "win32", reason="links and users of POSIX")
def test_the_folder_of_locks_is_nobody_else_s(tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "visible_gpus", lambda: ["0"])
    monkeypatch.setattr(devices.tempfile, "gettempdir", lambda: str(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"linconv-gpu-slots-{devices._user()}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DeviceError, match="belongs to another user; set TMPDIR"), device_slot("cuda"):
        pytest.fail("a link was followed")
