"""The outcome of every test image, in an order that depends on the images alone, and its file.

The order is that of the SHA-256 of (label as 2 bytes, big-endian, then the uint8 pixels in height-width-channel
order), so the outcomes of two runs can be paired image by image, whatever their images lay in.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from linconv.results.record import ResultError
from linconv.results.run import RunOutcomes, RunResult
from linconv.results.tidy import write_npz

FILE = "outcomes.npz"
LOWEST = -60000.0  # float16 ends at -65504


class Outcomes(NamedTuple):
    """Per test image, bool (n,) and float32 (n,): right or not, and the log-probability of the true class."""

    correct: np.ndarray
    log_prob: np.ndarray


def write_outcomes(folder: Path, outcomes: Outcomes) -> RunOutcomes:
    """Write the outcomes of a run to `folder`; log-probabilities are rounded to float16."""
    path = write_npz(
        folder / FILE,
        {
            "correct": np.packbits(outcomes.correct),
            "log_prob": np.maximum(outcomes.log_prob, LOWEST).astype(np.float16),
            "n": np.array([len(outcomes.correct)]),
        },
        compress=False,  # same values, same bytes, whatever the version of zlib
    )
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
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ResultError(f"{path}: cannot be read ({error.strerror}); train the run again") from None
    if hashlib.sha256(content).hexdigest() != wanted.sha256:
        raise ResultError(f"{path}: is not the file that result.json names; delete both and train the run again")
    with np.load(path) as stored:
        correct = np.unpackbits(stored["correct"], count=int(stored["n"][0])).astype(bool)
        return Outcomes(correct, stored["log_prob"].astype(np.float32))
