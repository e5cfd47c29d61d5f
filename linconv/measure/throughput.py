"""How fast networks run: plain convolutions against every form of a variant, inference and training steps.

The arms of a result file share input, memory layout, precision and threads; only the convolutions differ.
Every ratio is taken within a round, against a plain network of the same round, and read beside the ratio of a second
plain network built independently (the A/A arm). A pruned variant is timed as what pruning leaves, in training too.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from linconv.catalogue.measurements import ThroughputOptions
from linconv.config import Config, Variant
from linconv.layers import fold, optimize, set_mode
from linconv.layers.forms import MODES
from linconv.measure.machine import machine_state
from linconv.measure.memory import earlier_objects_kept, held_memory, peak_memory
from linconv.measure.network import measured_network
from linconv.measure.origin import origin
from linconv.measure.steps import TrainingSteps, kinds_of_step, recipe_of
from linconv.measure.timing import Call, Part, interleave
from linconv.results.kinds.throughput import PLAIN, PLAIN_AGAIN, Arm, ThroughputKey, ThroughputResult, Timings
from linconv.results.provenance import hardware
from linconv.training.graphs import WARM_UP, CudaCapture
from linconv.training.memory import is_out_of_memory
from linconv.training.numerics import compiled, set_numerics
from linconv.training.penalties import penalty_terms


def measure_throughput(
    config: Config, key: ThroughputKey, *, device: str, threads: int | None, command: str
) -> ThroughputResult:
    """Time the arms of one result file; nothing else should run on the machine.

    Args:
        config: an experiment with `throughput`.
        device: "cpu" or "cuda", already reserved.
        threads: CPU threads; None takes all cores.
        command: the command line that repeats this.
    """
    options, variants = config.throughput, config.known_variants
    assert options is not None
    set_numerics(threads or hardware()["cores"], deterministic=False)
    began, before = time.perf_counter(), machine_state(device)
    tf32 = key.precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    arms = _not_supported(key, options, variants, device) or _time_arms(key, options, variants, device)
    provenance = origin(device, command, began, channels_last=options.channels_last)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    return ThroughputResult(
        **key._asdict(),
        input_shape=options.input_shape,
        classes=options.classes,
        channels_last=options.channels_last,
        device=device,
        rounds_wanted=options.rounds,
        block_seconds=options.block_seconds,
        **Timings().identity(config, key),
        arms=arms,
        machine={"before": before, "after": machine_state(device)},
        provenance=provenance,
    )


def planned_arms(
    key: ThroughputKey, options: ThroughputOptions, variants: Mapping[str, Variant]
) -> list[tuple[str, str, str]]:
    """(name, variant, form) of every arm of a cell, the two plain ones first.

    Only inference has folded forms. A smaller plain network has one form.
    """
    forms: list[str] = [f for f in options.forms if f != "folded" or key.activity == "inference"]
    extra = ["optimized"] if options.optimized and key.activity == "inference" else []
    named = [
        (f"{name} {form}", name, form)
        for name in options.variants
        for form in (["auto"] if variants[name].narrow_to is not None else [*forms, *extra])
    ]
    return [(PLAIN, "conv", PLAIN), (PLAIN_AGAIN, "conv", PLAIN), *named]


def _not_supported(
    key: ThroughputKey, options: ThroughputOptions, variants: Mapping[str, Variant], device: str
) -> list[Arm]:
    """All arms without samples where the device cannot run the cell, else nothing."""
    if device == "cuda" or (key.precision != "tf32" and key.backend != "cuda_graph"):
        return []
    detail = f"{'TF32' if key.precision == 'tf32' else 'CUDA graphs'} on a CPU"
    return [
        Arm(name=name, variant=variant, form=form, status="not supported", detail=detail)
        for name, variant, form in planned_arms(key, options, variants)
    ]


def _time_arms(
    key: ThroughputKey, options: ThroughputOptions, variants: Mapping[str, Variant], device: str
) -> list[Arm]:
    """Samples of every arm; one that does not fit the memory is left out and says so."""
    calls: dict[str, list[Part]] = {}
    arms: dict[str, Arm] = {}
    with earlier_objects_kept():
        for name, variant, form in planned_arms(key, options, variants):
            definition = variants[variant] if variant != "conv" else Variant(layer="conv")
            held = held_memory(device)
            try:
                parts = _make(key, options, definition, form, device)
                peaks = peak_memory(parts, device, held)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                detail = " ".join(str(error).split())[:200]
                arms[name] = Arm(name=name, variant=variant, form=form, status="out of memory", detail=detail)
                gc.collect()
                continue
            calls[name] = parts
            arms[name] = Arm(name=name, variant=variant, form=form, status="ok", **peaks)
    if PLAIN not in calls or PLAIN_AGAIN not in calls:
        # nothing to compare with: no arm has samples
        detail = "the plain network does not fit twice"
        lacking = {"status": "out of memory", "detail": detail}
        return [arm.model_copy(update=lacking) if arm.status == "ok" else arm for arm in arms.values()]
    samples = interleave(
        calls,
        rounds=options.rounds,
        block_seconds=options.block_seconds,
        cell_seconds=options.cell_seconds,
        device=device,
    )
    for name, taken in samples.items():
        arms[name] = arms[name].model_copy(update={"calls": taken.calls, "seconds_per_call": tuple(taken.seconds)})
    return list(arms.values())


def _make(key: ThroughputKey, options: ThroughputOptions, definition: Variant, form: str, device: str) -> list[Part]:
    """What one arm calls: a forward pass, or a whole training step of every kind."""
    layout = torch.channels_last if options.channels_last else torch.contiguous_format
    model = measured_network(
        key.architecture,
        definition,
        input_shape=options.input_shape,
        classes=options.classes,
        device=device,
        channels_last=options.channels_last,
    )
    if key.activity == "training":
        return _training(key, options, definition, set_mode(model, form) if form in MODES else model, device)
    x = torch.randn(key.batch_size, *options.input_shape, device=device).contiguous(memory_format=layout)
    if key.precision == "bf16":
        model, x = model.bfloat16(), x.bfloat16()
    model.eval()
    if form in MODES:
        set_mode(model, form)
    elif form == "folded":
        model = fold(model).to(memory_format=layout)
    elif form == "optimized":
        model = optimize(model, x)
    return [Part(_inference(key, model, x))]


def _inference(key: ThroughputKey, model: nn.Module, x: Tensor) -> Call:
    forward: Callable[[Tensor], Any] = compiled(model) if key.backend == "compile" else model

    def call() -> None:
        with torch.inference_mode():
            forward(x)

    if key.backend != "cuda_graph":
        return call
    device_side = CudaCapture()
    for _ in range(WARM_UP):
        device_side.warm_up(call)
    return device_side.capture(call)


def _training(
    key: ThroughputKey, options: ThroughputOptions, definition: Variant, model: nn.Module, device: str
) -> list[Part]:
    """Steps of the training loop, with and without the regularizers due: parts weighted by how often they come."""
    steps = TrainingSteps(
        model,
        recipe_of(key.architecture, key.batch_size, key.precision),
        input_shape=options.input_shape,
        classes=options.classes,
        device=device,
        channels_last=options.channels_last,
        backend=key.backend,
    )
    return [
        Part(steps.with_terms(due), weight) for due, weight in kinds_of_step(penalty_terms(definition.regularizers))
    ]
