"""The outcome of every test image, in an order that depends on the images alone, and its file.

The order is that of the SHA-256 of (label as 2 bytes, big-endian, then the uint8 pixels in height-width-channel
order), so the outcomes of two runs can be paired image by image, whatever their images lay in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from linconv.config import RunKey
from linconv.results.arrays import read_npz, write_npz
from linconv.results.kinds.run_record import RunOutcomes, RunResult
from linconv.results.record import RETRAIN, ResultError

FILE = COLLECTED = "outcomes.npz"  # beside a result, and of all runs in the collected data
LOWEST = -60000.0  # float16 ends at -65504


class Outcomes(NamedTuple):
    """Per test image, bool (n,) and float32 (n,): right or not, and the log-probability of the true class."""

    correct: np.ndarray
    log_prob: np.ndarray


def write_outcomes(folder: Path, outcomes: Outcomes) -> RunOutcomes:
    """Write the outcomes of a run to `folder`; log-probabilities are rounded to float16."""
    # uncompressed: same values, same bytes, whatever the version of zlib
    path = write_npz(folder / FILE, pack(outcomes), compress=False)
    return RunOutcomes(
        file=FILE,
        count=len(outcomes.correct),
        correct=int(np.count_nonzero(outcomes.correct)),
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )


def read_outcomes(folder: Path, result: RunResult) -> Outcomes | None:
    """The outcomes of the run whose result.json lies in `folder`; None where it has none.

    Raises:
        ResultError: the file is missing, or not the one that the result names.
    """
    if (wanted := result.outcomes) is None:
        return None
    path = folder / wanted.file
    stored = read_npz(path, remedy=RETRAIN, sha256=wanted.sha256, names=("correct", "log_prob", "n"))
    outcomes = unpack(stored)
    if int(outcomes.correct.sum()) != wanted.correct or len(outcomes.correct) != wanted.count:
        raise ResultError(f"{path}: holds other outcomes than result.json says; {RETRAIN}")
    return outcomes


def pack(outcomes: Outcomes) -> dict[str, np.ndarray]:
    """The outcomes as they are stored: right or not as bits, log-probabilities as float16."""
    return {
        "correct": np.packbits(outcomes.correct),
        "log_prob": np.maximum(outcomes.log_prob, LOWEST).astype(np.float16),
        "n": np.array([len(outcomes.correct)]),
    }


def unpack(stored: Mapping[str, np.ndarray]) -> Outcomes:
    """The outcomes that `pack` stored."""
    correct = np.unpackbits(stored["correct"], count=int(stored["n"][0])).astype(bool)
    return Outcomes(correct, stored["log_prob"].astype(np.float32))


def read_collected_outcomes(data: Path) -> dict[RunKey, Outcomes]:
    """The outcomes of every run that has them, from a folder of collected data.

    Raises:
        ResultError: the file is missing or damaged.
    """
    path, remedy = data / COLLECTED, "collect the results again"
    by_run: dict[RunKey, dict[str, np.ndarray]] = {}
    for name, array in read_npz(path, remedy=remedy).items():
        *key, part = name.split("/")
        if len(key) != len(RunKey._fields) or not (key[3].isdigit() and key[4].isdigit()):
            raise ResultError(f"{path}: holds {name!r}, of no run; {remedy}")
        by_run.setdefault(RunKey(key[0], key[1], key[2], int(key[3]), int(key[4])), {})[part] = array
    try:
        return {run: unpack(stored) for run, stored in by_run.items()}
    except KeyError as error:
        raise ResultError(f"{path}: lacks the array {error}; {remedy}") from None
