"""The results that a configuration asks for: read and checked, or why they cannot be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, NamedTuple

from linconv.config import Config
from linconv.results.commands import shown_text
from linconv.results.kinds._kind import K, Kind, R
from linconv.results.reading import read_result
from linconv.results.record import ResultError, UnreadableError

LOG_BEGINS = "command: "  # what every attempt begins a log with
JOB_BEGINS = "== "  # before it, what a job of the pipeline begins a log with
Reason = Literal["missing", "damaged", "stale", "diverged"]


class Problem(NamedTuple):
    """Why a result cannot be used; `file` and `log` are relative to the experiment's folder, `log` "" without one."""

    kind: str
    key: Any
    reason: Reason
    file: str
    detail: str
    log: str = ""


def read_planned(
    kind: Kind[K, R], config: Config, root: Path, *, readable: bool = False
) -> tuple[dict[K, R], list[Problem]]:
    """Every planned result of a kind below `root`, results/<experiment>, and the problems of the others.

    Args:
        readable: raise UnreadableError for one that the system does not give, which may be good.
    """
    results: dict[K, R] = {}
    problems: list[Problem] = []
    for key, expected in kind.hashes(config).items():
        found = read_one(kind, key, expected, root, readable=readable)
        if isinstance(found, Problem):
            problems.append(found)
        else:
            results[key] = found
    return results, problems


def read_one(kind: Kind[K, R], key: K, expected: str, root: Path, *, readable: bool = False) -> R | Problem:
    """One result, made for the configuration whose hash is `expected`, or why it cannot be used; see `read_planned`."""
    file = kind.path(key)
    log, last = kind.log(key), last_word(root / kind.log(key))

    def problem(reason: Reason, detail: str) -> Problem:
        return Problem(
            kind.name, key, reason, file.as_posix(), shown_text(detail), log.as_posix() if last is not None else ""
        )

    if not (root / file).exists():
        return problem("missing", last or kind.why_missing(root, key))
    try:
        result = read_result(root / file, kind.record)
    except ResultError as error:
        if readable and isinstance(error, UnreadableError):
            raise
        return problem("damaged", str(error).removeprefix(f"{root / file}: "))
    if (written := kind.key_of(result)) != key:
        return problem("damaged", f"holds {written}; delete it to have it made again")
    if (made_for := kind.hash_of(result)) != expected:
        detail = f"made with configuration {made_for}, this one is {expected}; delete it to have it made again"
        return problem("stale", detail)
    return result


def last_word(log: Path) -> str | None:
    """Why a job ended, by its log: the last error it names, else the last line ("" without one); None without a log.

    Of a log of several attempts the last one counts, also where it was killed before it wrote its command.
    """
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    lines = [line.strip()[:300] for line in text.rpartition(LOG_BEGINS)[2].splitlines() if line.strip()]
    if LOG_BEGINS in text:
        lines = lines[1:] or lines  # the first one is the command
    jobs = [i for i, line in enumerate(lines) if line.startswith(JOB_BEGINS)]
    lines = lines[jobs[-1] + 1 :] if jobs else lines
    errors = [line for line in lines if "error: " in line]  # a message may go on over several lines
    return shown_text((errors or lines or [""])[-1])
