"""Makes this process look like one on Windows or macOS to linconv, which is imported afterwards.

Python itself cannot be deceived (`pathlib` asks `os.name` at every call), and other packages have their own code for
each system. So `import_the_others` comes first. Then `pretend` removes the modules, functions and files that the system
does not have, and `sys.platform` has its name. On "win32", opening a folder fails too, as does syncing a file that is
open for reading.
"""

from __future__ import annotations

import builtins
import fcntl
import importlib
import io
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

OTHERS = (
    "filelock",
    "jinja2",
    "matplotlib.pyplot",
    "numpy",
    "pandas",
    "PIL.Image",
    "pydantic",
    "rich.progress",
    "scipy.stats",
    "sklearn.datasets",
    "torch._dynamo",
    "torch.profiler",
    "torch.utils.data",
    "torch.utils.flop_counter",
    "torch_pruning",
    "torchvision",
    "typer",
    "yaml",
)
MODULES = {
    "win32": ("curses", "fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"),
    "darwin": (),
}
LINUX_ALONE = "sched_getaffinity sched_setaffinity posix_fadvise posix_fallocate O_DIRECT memfd_create"
POSIX_OS = (
    "chown confstr fchmod fchown fork forkpty getegid geteuid getgid getgroups getloadavg getpgid getpgrp getpriority "
    "getsid getuid initgroups killpg mkfifo nice sched_yield sendfile setgid setpgid setpriority setsid setuid statvfs "
    "sync sysconf uname wait3 wait4 O_DIRECTORY O_NONBLOCK O_SYNC WNOHANG"
)
POSIX_SIGNAL = (
    "SIGALRM SIGCHLD SIGCONT SIGHUP SIGKILL SIGPIPE SIGQUIT SIGSTOP SIGUSR1 SIGUSR2 alarm pause pthread_kill "
    "pthread_sigmask setitimer sigwait"
)
POSIX_TIME = "CLOCK_MONOTONIC CLOCK_PROCESS_CPUTIME_ID clock_gettime pthread_getcpuclockid tzset"
NAMES: dict[str, dict[Any, str]] = {
    "darwin": {os: LINUX_ALONE},
    "win32": {os: f"{LINUX_ALONE} {POSIX_OS}", signal: POSIX_SIGNAL, time: POSIX_TIME},
}


def import_the_others() -> None:
    """Import what linconv takes from other packages."""
    for name in OTHERS:
        importlib.import_module(name)


def pretend(system: str) -> None:
    """From here on, what `system` ("win32" or "darwin") does not have is missing."""
    for name in MODULES[system]:
        sys.modules[name] = None  # type: ignore[assignment]
    for module, names in NAMES[system].items():
        for name in names.split():
            if hasattr(module, name):
                delattr(module, name)
    io.open = builtins.open = _without_proc(builtins.open)
    os.stat = _without_proc(os.stat)
    if system == "win32":
        shutil._use_fd_functions = False  # type: ignore[attr-defined]  # removing a folder opens it elsewhere
        sys.modules["msvcrt"] = _msvcrt()
        os.open, os.fsync = _without_folders(os.open), _only_what_may_be_written(os.fsync)
    sys.platform = system


def _msvcrt() -> ModuleType:
    """Windows' locks of files, made of Linux's."""
    flock, exclusive = fcntl.flock, fcntl.LOCK_EX | fcntl.LOCK_NB

    def locking(descriptor: int, mode: int, size: int) -> None:
        try:
            flock(descriptor, exclusive)
        except BlockingIOError:
            raise PermissionError(13, "Permission denied") from None

    made = ModuleType("msvcrt")
    made.LK_NBLCK, made.locking = 2, locking  # type: ignore[attr-defined]
    return made


def _without_proc(call: Callable[..., Any]) -> Callable[..., Any]:
    def refusing(path: Any, *arguments: Any, **options: Any) -> Any:
        if isinstance(path, str | os.PathLike) and os.fspath(path).startswith(("/proc/", "/sys/")):
            raise FileNotFoundError(2, "No such file or directory", path)
        return call(path, *arguments, **options)

    return refusing


def _without_folders(call: Callable[..., int]) -> Callable[..., int]:
    def refusing(path: Any, *arguments: Any, **options: Any) -> int:
        if os.path.isdir(path):  # noqa: PTH112
            raise PermissionError(13, "Permission denied", path)
        return call(path, *arguments, **options)

    return refusing


def _only_what_may_be_written(call: Callable[[Any], None]) -> Callable[[Any], None]:
    flags, access, read_only, control = fcntl.F_GETFL, os.O_ACCMODE, os.O_RDONLY, fcntl.fcntl

    def refusing(file: Any) -> None:
        number = file if isinstance(file, int) else file.fileno()
        if control(number, flags) & access == read_only:
            raise OSError(9, "Bad file descriptor")
        call(file)

    return refusing
