"""Runs the code of docs/how-to-halve-a-model.md and writes the table of what it gives into the page."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import random
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

PAGE = Path(__file__).with_name("how-to-halve-a-model.md")
PLACE = re.compile(r"(<!-- made: halve -->\n).*?(<!-- /made -->)", flags=re.DOTALL)
HEAD = "| model | accuracy (%) | kB on disk | ms for an image | time / plain |"


def run_page() -> tuple[dict[str, Any], str]:
    """What the page's code defines, run in the present folder, and what it prints."""
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {"__name__": "how_to"}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for block in blocks:
            exec(compile(block, str(PAGE), "exec"), names)
    return names, printed.getvalue()


def table(names: dict[str, Any], rounds: int = 21, block_seconds: float = 0.02) -> list[str]:
    """The lines of the table: a row for every entry of the page's `rows`."""
    import torch

    torch.set_num_threads(1)
    calls = {name: _call(run, names["sample"]) for name, (run, file) in names["rows"].items()}
    repeats = {name: max(1, round(block_seconds / _seconds(call, 3))) for name, call in calls.items()}
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds):
        for name in random.Random(number).sample(list(calls), len(calls)):
            samples[name].append(_seconds(calls[name], repeats[name]))
    lines = [HEAD, "|---|---|---|---|---|"]
    for name, (run, file) in names["rows"].items():
        seconds = np.asarray(samples[name])
        suffix = " int8" if name.endswith("int8") else ""
        plain = "plain, onnxruntime" + suffix if "onnxruntime" in name else "plain, PyTorch"
        low, middle, high = np.quantile(seconds / np.asarray(samples[plain]), [0.25, 0.5, 0.75])
        ratio = "1" if name == plain else f"{middle:.2f} ({low:.2f} to {high:.2f})"
        size = "" if file is None else f"{Path(file).stat().st_size / 1e3:.0f}"
        accuracy = names["accuracy"](run)
        lines.append(f"| {name} | {accuracy:.1f} | {size} | {1e3 * float(np.median(seconds)):.2f} | {ratio} |")
    return lines


def made(text: str) -> list[str]:
    """The lines of the table in the page."""
    found = PLACE.search(text)
    assert found is not None
    return found.group(0).splitlines()[1:-1]


def _call(run: Callable[[Any], Any], sample: Any) -> Callable[[], Any]:
    import torch

    def call() -> Any:
        with torch.inference_mode():
            return run(sample)

    return call


def _seconds(call: Callable[[], Any], calls: int) -> float:
    """The time that the processor spends in a call, the mean over some: other work of the machine is not in it."""
    start = time.thread_time()
    for _ in range(calls):
        call()
    return (time.thread_time() - start) / calls


def main() -> None:
    """Write the table."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            names, _ = run_page()
            lines = table(names)
        finally:
            os.chdir(before)
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(PLACE.sub(lambda m: m.group(1) + "\n".join(lines) + "\n" + m.group(2), text), encoding="utf-8")


if __name__ == "__main__":
    main()
