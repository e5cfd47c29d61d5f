"""Models that nobody here wrote, through every tool: one line each, and the counts at the end.

    pip install timm
    python benchmarks/models.py [--variant L] [--only 'timm/res*'] [--list]

Of each architecture: `complexity`, beside torch's FLOP counter; `pruned_network`; `convert`; a training step; `save`
and `load`; `fold`; `complexity` of the folded model. A line says

* ok: parameters change as counted, every converted layer that runs learns, the loaded model computes the same, the
  folded model too, and it counts the same multiply-accumulates (MACs) as the converted model folded;
* refused: one plain error, from the library, says why the model is not converted;
* FAILED: anything else. The exit code is 1.

At the end of a line stands what a tool said where it did not do its work: MACs that are not counted, a network that
cannot be pruned. The last lines count the models on which each tool worked, and name the others.
"""

from __future__ import annotations

import argparse
import fnmatch
import logging
import re
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

import torch
from subjects import Subject, floats, subjects
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import linconv
from linconv.config.errors import UserError, first_line
from linconv.pruning import pruned_network

TOLERANCES = {torch.float64: 1e-8, torch.float32: 1e-2}
PRUNED = 0.7  # of the parameters
PATIENCE = 20  # seconds of processor time for pruning: what follows the channels takes hours for some networks
TOOLS = ("convert", "fold", "save and load", "count as torch", "prune")


def counted(model: nn.Module, size: int) -> linconv.results.Complexity:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # attention is said to be left out
        return linconv.complexity(model, (3, size, size))


def first_size(model: nn.Module, sizes: tuple[int, ...]) -> int:
    """The first size on which the plain model runs."""
    for size in sizes[:-1]:
        try:
            counted(model, size)
        except UserError:
            continue
        return size
    return sizes[-1]


def unlike_torch(model: nn.Module, size: int) -> str:
    """How the MACs of a plain model differ from those of torch's FLOP counter; nothing where they are equal.

    Raises:
        AssertionError: they differ by something else than what the warning names.
    """
    image = torch.zeros(1, 3, size, size)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ours = linconv.complexity(model.eval(), (3, size, size)).macs_folded
    said = " ".join(str(w.message) for w in caught if "complexity:" in str(w.message))
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # one operation, which torch's counter does not know
    try:
        with FlopCounterMode(display=False) as counter:  # without gradients it fails in some models
            model(image)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
    torchs = counter.get_total_flops() // 2
    named = re.search(r"([\d,]+) of the [\d,]+ MACs", said)
    left_out = int(named[1].replace(",", "")) if named else 0
    assert ours + left_out >= torchs, f"{ours:,} MACs and {left_out:,} that are named, {torchs:,} by torch"
    more = ours + left_out - torchs  # of fused attention, which torch's counter leaves out
    return said.removeprefix("complexity: ") + (f"; torch sees {more:,} less" if more else "")


def impatient(*_: object) -> None:
    raise TimeoutError(f"it takes more than {PATIENCE} s")


def unpruned(subject: Subject, model: nn.Module, size: int, last: str) -> str:
    """Why a model cannot be pruned; nothing where it can."""
    signal.signal(signal.SIGPROF, impatient)
    signal.setitimer(signal.ITIMER_PROF, PATIENCE)
    try:
        small = pruned_network(model, (3, size, size), PRUNED, exclude=[last])
    except (UserError, TimeoutError) as error:
        return str(error).removeprefix("pruning: ")
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    subject.loss(small.train(), torch.rand(2, 3, size, size)).backward()
    share = sum(p.numel() for p in small.parameters()) / sum(p.numel() for p in model.parameters())
    assert abs(share - PRUNED) < 0.05, f"the pruned network has {share:.2f} of the parameters"
    return ""


@torch.no_grad()
def check_saved(subject: Subject, model: nn.Module, size: int) -> None:
    """Save a converted model, load it from the plain one, and compare."""
    with tempfile.TemporaryDirectory() as folder:
        loaded = linconv.load(linconv.save(model, Path(folder, "model.safetensors")), subject.build)
    state, ours = loaded.state_dict(), model.state_dict()
    assert state.keys() == ours.keys(), "the loaded model has other tensors"
    assert all(torch.equal(state[name], ours[name]) for name in ours), "the loaded model has other values"
    image = torch.rand(1, 3, size, size)
    pairs = zip(floats(model.eval()(image)), floats(loaded.eval()(image)), strict=True)
    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-5) for a, b in pairs), "the loaded model computes otherwise"


def run(subject: Subject, variant: str) -> tuple[str, str, dict[str, str]]:
    """The outcome of one architecture, what to say of it, and what tools said that did not work."""
    torch.manual_seed(0)
    model = subject.build()
    size = first_size(model, subject.sizes)
    before = counted(model, size)
    without = {
        "count as torch": unlike_torch(model, size),
        "prune": unpruned(subject, model, size, before.layers[-1].layer),
    }
    convolutions = sum(isinstance(m, nn.Conv2d) for m in model.modules())
    try:
        model = linconv.convert(model, variant)
    except ValueError as error:
        return "refused", str(error), {"convert": str(error), **without}
    new = linconv.replaced_layers(model)
    after = counted(model, size)

    subject.loss(model.train(), torch.rand(2, 3, size, size)).backward()
    running = {layer.layer for layer in after.layers} & set(new)
    blind = [n for n in running if any(p.grad is None for p in model.get_submodule(n).parameters())]
    assert not blind, f"no gradient in {blind[:3]}"
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None), "gradients are not finite"

    check_saved(subject, model, size)
    plain, distance = folded_and_compared(model.eval(), size)
    assert not linconv.replaced_layers(plain), "a layer is not folded"
    folded = counted(plain, size)
    # regions depend on the weights' last bits; everything else counts the same
    if not subject.name.startswith("detection/"):
        assert folded.macs_folded == after.macs_folded == before.macs_folded, "MACs of the folded model differ"
    assert folded.params == after.params_folded == before.params, "parameters of the folded model differ"
    text = (
        f"{size} px, {len(new)} of {convolutions} convolutions, parameters {before.params / 1e6:.2f} -> "
        f"{after.params / 1e6:.2f} M, MACs {before.macs_folded / 1e6:.1f} -> {after.macs_feature / 1e6:.1f} M, "
        f"folded within {distance:.0e}"
    )
    return "ok", text, without


@torch.no_grad()
def folded_and_compared(model: nn.Module, size: int) -> tuple[nn.Module, float]:
    """The folded model, and how far its outputs are from the model's, relative to the largest value.

    In double precision where the model runs in it.
    """
    try:
        floats(model.double()(torch.rand(1, 3, size, size, dtype=torch.float64)))
    except RuntimeError:
        model = model.float()
    dtype = next(model.parameters()).dtype
    plain, image = linconv.fold(model), torch.rand(1, 3, size, size, dtype=dtype)
    pairs = list(zip(floats(model(image)), floats(plain(image)), strict=True))
    if not any(a.numel() for a, _ in pairs):  # a detector that finds nothing
        features = (floats(network.get_submodule("backbone")(image)) for network in (model, plain))
        pairs = list(zip(*features, strict=True))
    error = max(float((a - b).abs().max() / b.abs().max().clamp(min=1e-30)) for a, b in pairs if a.numel())
    assert error <= TOLERANCES[dtype], f"the folded model differs by {error:.1e} in {dtype}"
    return plain, error


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variant", default="L", help="a variant or a method")
    parser.add_argument("--only", default="*", metavar="PATTERN", help="of names such as timm/resnet18")
    parser.add_argument("--list", action="store_true", help="show the names alone")
    options = parser.parse_args()
    logging.getLogger("linconv").setLevel(logging.ERROR)
    outcomes: Counter[str] = Counter()
    exceptions: dict[str, list[str]] = {tool: [] for tool in TOOLS}
    chosen = {name: make for name, make in subjects().items() if fnmatch.fnmatch(name, options.only)}
    if not chosen:
        parser.error(f"--only {options.only}: no model has such a name (--list shows them)")
    for name, make in chosen.items():
        if options.list:
            print(name)
            continue
        started = time.perf_counter()
        without: dict[str, str] = {}
        try:
            outcome, text, without = run(make(), options.variant)
        except Exception as error:
            outcome, text = "FAILED", first_line(error)
        outcomes[outcome] += 1
        for tool in TOOLS:
            if without.get(tool) or (outcome != "ok" and tool not in without):
                exceptions[tool].append(name)
        text += "".join(f"; {tool}: {said}" for tool, said in without.items() if said and tool != "convert")
        print(f"{outcome:<8}{name}: {text} ({time.perf_counter() - started:.0f} s)", flush=True)
    if not options.list:
        print(", ".join(f"{number} {outcome}" for outcome, number in sorted(outcomes.items())))
        for tool, names in exceptions.items():
            print(f"{tool}: {outcomes.total() - len(names)}" + (f", without {', '.join(names)}" if names else ""))
    return int(bool(outcomes["FAILED"]))


if __name__ == "__main__":
    sys.exit(main())
