"""A Slurm cluster of two nodes with a GPU each, on this machine, for as long as the tests that use it take.

The nodes are two daemons on the loopback interface; the GPUs are device files that nothing reads. Needs root, the
packages slurm-wlm and munge, and no other Slurm: jobs find the cluster by /etc/slurm/slurm.conf.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

SETTINGS = Path("/etc/slurm")
FILES = ("slurm.conf", "gres.conf")
OURS = "# of the tests of linconv"
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol")
SYSTEM_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
NODES = ("node1", "node2")

SLURM = """{ours}
ClusterName=linconv
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=2,batch_sched_delay=0
ReturnToService=2
MinJobAge=600
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
GresTypes=gpu
NodeName=node1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2 RealMemory=40000 Gres=gpu:1
NodeName=node2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2 RealMemory=40000 Gres=gpu:1
PartitionName=main Nodes=node[1-2] Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str | None:
    """Why no cluster can be started here; None where one can."""
    if os.name != "posix" or os.geteuid() != 0:
        return "a cluster is started by root alone"
    if absent := [name for name in PROGRAMS if shutil.which(name, path=SYSTEM_PATH) is None]:
        return f"not installed: {', '.join(absent)} (apt install slurm-wlm munge)"
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        return "not installed: snakemake-executor-plugin-slurm"
    for settings in (SETTINGS / name for name in FILES):
        if settings.exists() and OURS not in settings.read_text(encoding="utf-8"):
            return f"{settings} is that of another cluster"
    return None


class Cluster:
    """Commands of a running cluster."""

    def ask(self, *command: str) -> str:
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout

    def jobs(self) -> dict[str, dict[str, str]]:
        """Every job that the controller remembers, by its number, as `scontrol show job` describes it."""
        found = {}
        for line in self.ask("scontrol", "show", "job", "--oneliner").splitlines():
            if line.startswith("JobId="):
                job = dict(word.split("=", 1) for word in line.split() if "=" in word)
                found[job["JobId"]] = job
        return found

    def queue(self, state: str) -> None:
        """DOWN: jobs are accepted and wait. UP: they start."""
        self.ask("scontrol", "update", "PartitionName=main", f"State={state}")

    def cancel(self, *numbers: str) -> None:
        self.ask("scancel", *(numbers or ("--user=root",)))

    def wait_for(self, condition: Callable[[], object], what: str, seconds: float = 120.0) -> None:
        """Until the condition holds."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"{what}: not within {seconds:.0f} s"
            time.sleep(0.5)


@contextlib.contextmanager
def running_cluster(folder: Path) -> Iterator[Cluster]:
    """Start the daemons and, at the end, stop each of them by its number, their jobs first."""
    _write_settings(folder)
    daemons: list[subprocess.Popen[bytes]] = []
    before = os.environ.pop("SLURM_CONF", None)
    try:
        with (folder / "daemons.log").open("wb") as log:

            def start(*command: str) -> None:
                environment = os.environ | {"PATH": SYSTEM_PATH}
                # in a group of its own: Ctrl-C ends the tests, which end the daemons in their order
                one = subprocess.Popen(command, stdout=log, stderr=log, env=environment, process_group=0)
                daemons.append(one)

            where = [f"--{name}={folder}/munge.{name.split('-')[0]}" for name in ("socket", "pid-file", "seed-file")]
            start("munged", "-F", "--force", f"--key-file={folder}/munge.key", f"--log-file={folder}/munge.log", *where)
            cluster = Cluster()
            cluster.wait_for((folder / "munge.socket").exists, "munged")
            start("slurmctld", "-D", "-c")
            for node in NODES:
                start("slurmd", "-D", "-N", node)
            cluster.wait_for(lambda: _idle(cluster), f"idle nodes (logs in {folder})", 60)
            try:
                yield cluster
            finally:
                cluster.cancel()
                cluster.wait_for(lambda: not cluster.ask("squeue", "--noheader").strip(), "an empty queue", 90)
    finally:
        for daemon in reversed(daemons):
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        for name in FILES:
            (SETTINGS / name).unlink(missing_ok=True)
        if before is not None:
            os.environ["SLURM_CONF"] = before


def _write_settings(folder: Path) -> None:
    for part in ("state", "spool/node1", "spool/node2"):
        (folder / part).mkdir(parents=True)
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o400)
    gres = [OURS]
    for number, node in enumerate(NODES):
        device = folder / f"gpu{number}"
        os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        gres.append(f"NodeName={node} Name=gpu File={device}")
    SETTINGS.mkdir(exist_ok=True)
    host = socket.gethostname().partition(".")[0]
    text = SLURM.format(ours=OURS, host=host, folder=folder, ports=_free_ports(3))
    (SETTINGS / "slurm.conf").write_text(text, encoding="utf-8")
    (SETTINGS / "gres.conf").write_text("\n".join([*gres, ""]), encoding="utf-8")


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _idle(cluster: Cluster) -> bool:
    found = subprocess.run(["sinfo", "--noheader", "--Node", "--format=%T"], capture_output=True, text=True, timeout=60)
    return found.stdout.split() == ["idle"] * len(NODES)
