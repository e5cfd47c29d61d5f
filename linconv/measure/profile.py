"""Where the time of a call goes: a plain network and a variant in its form auto, by kind of operation.

torch.profiler records every operation with its shapes. The time of each one, less that of the operations it calls,
counts once: for the outermost operation around it that has a kind. So a copy that a convolution makes of its input is
part of the convolution. On a CPU the times are those of the calling thread, on a GPU those of its kernels. A pruned
variant is profiled as what pruning leaves, in training too.
"""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, record_function

from linconv.catalogue.measurements import ProfileOptions
from linconv.config import Config, Variant
from linconv.config.methods import PLAIN
from linconv.layers import set_mode
from linconv.measure.machine import machine_state, quiet_profiler
from linconv.measure.network import measured_network
from linconv.measure.origin import origin
from linconv.measure.steps import TrainingSteps, kinds_of_step, recipe_of
from linconv.measure.timing import Call, Part, interleave, synchronise
from linconv.results.kinds.profile import (
    KindTime,
    NetworkProfile,
    OperationTime,
    ProfileKey,
    ProfileResult,
    Profiles,
)
from linconv.results.provenance import hardware
from linconv.training.numerics import set_numerics
from linconv.training.penalties import penalty_terms
from linconv.training.step import Term

OperationKind = Literal[
    "k x k convolutions",
    "1 x 1 convolutions",
    "matrix products",
    "joining and copies",
    "batch norm",
    "activation",
    "pooling",
    "classifier",
    "regularizer",
    "optimizer",
    "augmentation",
    "rest",
    "between operations",
]
OPERATION_KINDS: tuple[OperationKind, ...] = get_args(OperationKind)
CALL, BATCH, PENALTY = "linconv: call", "linconv: batch", "linconv: regularizer"
# Operations of the forward pass, and nodes of the backward one by the names that autograd derives from them.
_BY_NAME: tuple[tuple[str, OperationKind], ...] = (
    (r"aten::(mm|bmm|matmul|eye)|(Mm|Bmm)Backward\d*", "matrix products"),
    (r"aten::(linear|addmm)|AddmmBackward\d*", "classifier"),
    (r"aten::\w*batch_norm\w*|\w*BatchNormBackward\d*", "batch norm"),
    (r"aten::(relu6?|hardtanh|clamp_min)_?|(Relu|Hardtanh|ClampMin)Backward\d*", "activation"),
    (r"aten::(adaptive_)?(max|avg)_pool2d|\w*(Max|Avg)Pool2D\w*Backward\d*|MeanBackward1", "pooling"),
    (r"aten::(cat|copy_|contiguous|clone)|(Cat|Copy|Clone|Slice)Backwards?\d*", "joining and copies"),
    (r"Optimizer\..*", "optimizer"),
    (rf"{BATCH}", "augmentation"),
    (rf"{PENALTY}", "regularizer"),
    (rf"{CALL}", "between operations"),
)
_CONVOLUTIONS = {"aten::conv2d": 1, "aten::convolution": 1, "aten::convolution_backward": 2}  # place of the filters


class Attributed(NamedTuple):
    """Microseconds of one event itself, and the outermost event of a kind that it belongs to."""

    kind: OperationKind
    operation: str
    outermost: bool
    microseconds: float


def measure_profile(
    config: Config, key: ProfileKey, *, device: str, threads: int | None, command: str
) -> ProfileResult:
    """Profile a plain network and a variant of it; nothing else should run on the machine.

    Of training, whole steps are profiled; those with the regularizers due are weighted by their share.

    Args:
        config: an experiment with `profile`.
        device: "cpu" or "cuda", already reserved.
        threads: CPU threads; None takes all cores.
        command: the command line that repeats this.
    """
    options, variant = config.profile, config.known_variants[key.variant]
    assert options is not None
    set_numerics(threads or hardware()["cores"], deterministic=False)
    began, before = time.perf_counter(), machine_state(device)
    arms = {"plain": Variant(layer=PLAIN), key.variant: variant}
    parts = {name: _parts(definition, key, options, device) for name, definition in arms.items()}
    samples = interleave(
        parts, rounds=options.rounds, block_seconds=options.block_seconds, cell_seconds=60, device=device
    )
    networks = []
    for name, own in parts.items():
        attributed = [(part.weight, _quickest(part.call, options.calls, device)) for part in own]
        networks.append(summarise(name, tuple(samples[name].seconds), attributed))
    return ProfileResult(
        **key._asdict(),
        input_shape=options.input_shape,
        classes=options.classes,
        channels_last=options.channels_last,
        device=device,
        profiled_calls=options.calls,
        **Profiles().identity(config, key),
        networks=networks,
        machine={"before": before, "after": machine_state(device)},
        provenance=origin(device, command, began, channels_last=options.channels_last),
    )


def _parts(definition: Variant, key: ProfileKey, options: ProfileOptions, device: str) -> list[Part]:
    """What is called and profiled: a forward pass, or every kind of training step with its weight."""
    sizes: dict[str, Any] = {
        "input_shape": options.input_shape,
        "classes": options.classes,
        "device": device,
        "channels_last": options.channels_last,
    }
    model = set_mode(measured_network(key.architecture, definition, **sizes), "auto")
    if key.activity == "inference":
        layout = torch.channels_last if options.channels_last else torch.contiguous_format
        x = torch.randn(key.batch_size, *options.input_shape, device=device).contiguous(memory_format=layout)
        return [Part(_inference(model.eval(), x))]
    steps = TrainingSteps(model, recipe_of(key.architecture, key.batch_size), **sizes)
    terms = [_labelled(term) for term in penalty_terms(definition.regularizers)]
    return [Part(_training(steps, due), weight) for due, weight in kinds_of_step(terms)]


def attribute(events: Iterable[Any], device: str) -> list[Attributed]:
    """The kind of every event in the profile of one call that was recorded with shapes, each event once.

    Args:
        events: `torch.autograd.profiler_util.FunctionEvent`s.
        device: "cpu" takes the time on the calling thread, "cuda" that of the kernels.
    """
    events = [event for event in events if event.device_type == DeviceType.CPU]
    penalties = _sequence_numbers(event for event in events if event.name == PENALTY)
    out: list[Attributed] = []
    waiting: list[tuple[Any, tuple[OperationKind, str] | None]] = [
        (event, None) for event in events if event.cpu_parent is None
    ]
    while waiting:
        event, above = waiting.pop()
        own = None if above else _kind(event, penalties)
        kind, operation = above or (own or "rest", event.name)
        microseconds = event.self_cpu_time_total if device == "cpu" else event.self_device_time_total
        out.append(Attributed(kind, operation, above is None, microseconds))
        inherited = above or (None if own is None or own == "between operations" else (own, event.name))
        waiting += [(child, inherited) for child in event.cpu_children]
    return out


def summarise(
    name: str, seconds: tuple[float, ...], attributed: Sequence[tuple[float, Sequence[Attributed]]]
) -> NetworkProfile:
    """The sums by kind and by operation, over profiles that each have a weight."""
    times: dict[tuple[OperationKind, str], list[float]] = defaultdict(lambda: [0.0, 0.0])
    for weight, found in attributed:
        for kind, operation, outermost, microseconds in found:
            entry = times[kind, operation]
            entry[0] += weight * outermost
            entry[1] += weight * microseconds / 1e3
    total = sum(milliseconds for _, milliseconds in times.values())
    by_kind = {k: sum(entry[1] for (kind, _), entry in times.items() if kind == k) for k in OPERATION_KINDS}
    ordered = sorted(times.items(), key=lambda item: (OPERATION_KINDS.index(item[0][0]), -item[1][1]))
    return NetworkProfile(
        name=name,
        seconds_per_call=seconds,
        kinds=[KindTime(kind=k, milliseconds=ms, share=ms / total) for k, ms in by_kind.items()],
        operations=[
            OperationTime(kind=kind, operation=operation, calls=round(n, 6), milliseconds=ms)
            for (kind, operation), (n, ms) in ordered
        ],
    )


def _kind(event: Any, penalties: range) -> OperationKind | None:
    """The kind that an event gives to all below it; None where that is for each of them to say."""
    if event.sequence_nr in penalties and event.fwd_thread:
        return "regularizer"
    if (place := _CONVOLUTIONS.get(event.name)) is not None:
        return "1 x 1 convolutions" if event.input_shapes[place][2:] == [1, 1] else "k x k convolutions"
    if re.fullmatch(r"aten::(add_?|mean|sum|sub|to)|AddBackward\d*", event.name):
        if not any(len(shape) > 1 for shape in event.input_shapes):  # counters and losses
            return None
        return "pooling" if event.name == "aten::mean" else "joining and copies"
    return next((kind for pattern, kind in _BY_NAME if re.fullmatch(pattern, event.name)), None)


def _sequence_numbers(scopes: Iterable[Any]) -> range:
    """The numbers that the forward pass inside of these scopes, which follow each other, gave to backward nodes."""

    def below(event: Any) -> Iterator[int]:
        yield event.sequence_nr
        for child in event.cpu_children:
            yield from below(child)

    numbers = [number for scope in scopes for number in below(scope) if number >= 0]
    return range(min(numbers), max(numbers) + 1) if numbers else range(0)


def _quickest(call: Call, calls: int, device: str) -> list[Attributed]:
    """Of so many calls, each profiled by itself, the one that others disturbed least; a call before them warms up."""
    profiles = [attribute(_events(call, device), device) for _ in range(calls + 1)][1:]
    return min(profiles, key=lambda found: sum(event.microseconds for event in found))


def _events(call: Call, device: str) -> list[Any]:
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device == "cuda" else [])]
    quiet_profiler()
    with torch.profiler.profile(activities=activities, record_shapes=True) as profiler:
        with record_function(CALL):
            call()
        synchronise(device)
    return list(profiler.events())


def _inference(model: nn.Module, x: Tensor) -> Call:
    def call() -> None:
        with torch.inference_mode():
            model(x)

    return call


def _training(steps: TrainingSteps, due: tuple[Term, ...]) -> Call:
    def call() -> None:
        with record_function(BATCH):
            x, y = steps.draw()
        steps.step(x, y, due)

    return call


def _labelled(term: Term) -> Term:
    def penalty(model: nn.Module) -> Tensor:
        with record_function(PENALTY):
            return term.penalty(model)

    return term._replace(penalty=penalty)
