"""How fast exported networks run in engines on the CPU: plain, plain again, and the forms of every variant.

Batch normalization is folded in every network, so that a ratio to plain says what the layers' form changes, and the
plain network is as fast as it gets.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from linconv.catalogue.measurements import DeploymentOptions
from linconv.config import Config, Variant
from linconv.deploy import deviation, export_onnx, open_model, quantize_onnx
from linconv.layers import optimize
from linconv.layers.optimize import FORMS
from linconv.measure.machine import machine_state
from linconv.measure.network import measured_network
from linconv.measure.origin import origin
from linconv.measure.timing import interleave
from linconv.results.kinds.deployment import DeployedArm, DeploymentKey, DeploymentResult, Deployments
from linconv.results.kinds.throughput import PLAIN, PLAIN_AGAIN
from linconv.results.provenance import hardware
from linconv.training.numerics import set_numerics

CALIBRATION_BATCHES = 8


class PlannedArm(NamedTuple):
    """A network of a variant in a form, before it is made."""

    name: str
    variant: str
    form: str


def measure_deployment(
    config: Config, key: DeploymentKey, *, device: str, threads: int | None, command: str
) -> DeploymentResult:
    """Export and time the networks of one result file; nothing else should run on the machine.

    Args:
        config: an experiment with `deployment`.
        device: "cpu".
        threads: CPU threads of PyTorch and of the engine; None takes all cores.
        command: the command line that repeats this.

    Raises:
        linconv.deploy.MissingPackageError: the engine or the exporter is not installed.
    """
    options = config.deployment
    assert options is not None
    threads = threads or hardware()["cores"]
    set_numerics(threads, deterministic=False)
    began, before = time.perf_counter(), machine_state(device)
    with tempfile.TemporaryDirectory() as folder:
        arms = _timed(key, options, config.known_variants, threads, Path(folder))
    provenance = origin(device, command, began, channels_last=options.channels_last)
    if key.engine != "torch":
        provenance = provenance.model_copy(
            update={"versions": provenance.versions | {key.engine: metadata.version(key.engine)}}
        )
    return DeploymentResult(
        **key._asdict(),
        input_shape=options.input_shape,
        classes=options.classes,
        channels_last=options.channels_last,
        rounds_wanted=options.rounds,
        block_seconds=options.block_seconds,
        **Deployments().identity(config, key),
        arms=arms,
        machine={"before": before, "after": machine_state(device)},
        provenance=provenance,
    )


def planned_arms(key: DeploymentKey, options: DeploymentOptions, variants: Mapping[str, Variant]) -> list[PlannedArm]:
    """The arms of a cell, the two plain ones first; a smaller plain network has one form."""
    forms = [form for form in options.forms if form != "fastest" or key.engine == "torch"]
    arms = [PlannedArm(PLAIN, "conv", PLAIN), PlannedArm(PLAIN_AGAIN, "conv", PLAIN)]
    for name in options.variants:
        own = ["folded"] if variants[name].layer == "conv" else forms
        arms += [PlannedArm(f"{name} {form}", name, form) for form in own]
    return arms


def _timed(
    key: DeploymentKey,
    options: DeploymentOptions,
    variants: Mapping[str, Variant],
    threads: int,
    folder: Path,
) -> list[DeployedArm]:
    torch.manual_seed(0)
    x = torch.randn(key.batch_size, *options.input_shape, device="cpu")
    calls: dict[str, Callable[[], object]] = {}
    arms: list[DeployedArm] = []
    for arm in planned_arms(key, options, variants):
        definition = variants[arm.variant] if arm.variant != "conv" else Variant(layer="conv")
        model = _network(key, options, definition, arm.form, x)
        if key.engine == "torch":
            run, size = _in_torch(model, options), None
        else:
            path = _exported(key, model, x, folder / f"{len(arms)}.onnx")
            run, size = open_model(path, key.engine, threads=threads), path.stat().st_size
        with torch.inference_mode():
            error = deviation(run(x.numpy()), model(x).numpy())
        calls[arm.name] = _call(run, x.numpy())
        arms.append(DeployedArm(**arm._asdict(), status="ok", file_bytes=size, deviation=error))
    samples = interleave(
        calls, rounds=options.rounds, block_seconds=options.block_seconds, cell_seconds=options.cell_seconds
    )
    return [
        arm.model_copy(update={"calls": samples[arm.name].calls, "seconds_per_call": tuple(samples[arm.name].seconds)})
        for arm in arms
    ]


def _network(key: DeploymentKey, options: DeploymentOptions, definition: Variant, form: str, x: Tensor) -> nn.Module:
    """A network in a form, with batch normalization folded: for an engine in the usual layout, which it changes."""
    channels_last = options.channels_last and key.engine == "torch"
    model = measured_network(
        key.architecture,
        definition,
        input_shape=options.input_shape,
        classes=options.classes,
        device="cpu",
        channels_last=channels_last,
    )
    layout = torch.channels_last if channels_last else torch.contiguous_format
    forms = {PLAIN: ("folded",), "fastest": FORMS}.get(form, (form,))
    return optimize(model, x.contiguous(memory_format=layout), forms=forms)


def _exported(key: DeploymentKey, model: nn.Module, x: Tensor, path: Path) -> Path:
    export_onnx(model, x, path, check=False)
    if key.precision == "fp32":
        return path
    batches = [torch.randn_like(x) for _ in range(CALIBRATION_BATCHES)]
    return quantize_onnx(path, batches, path.with_suffix(".int8.onnx"))


def _in_torch(model: nn.Module, options: DeploymentOptions) -> Callable[[np.ndarray], np.ndarray]:
    layout = torch.channels_last if options.channels_last else torch.contiguous_format

    def run(images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            output: np.ndarray = model(torch.from_numpy(images).contiguous(memory_format=layout)).numpy()
        return output

    return run


def _call(run: Callable[[np.ndarray], np.ndarray], images: np.ndarray) -> Callable[[], object]:
    return lambda: run(images)
