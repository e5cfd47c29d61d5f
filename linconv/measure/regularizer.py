"""What the correlation regularizer costs: a training step without it and with it, and the penalty alone.

The penalty is timed as implemented, and in the straightforward form for comparison: center, normalize, V V^T, absolute
value, sum, with automatic differentiation through all of it. A pruned variant is timed as what pruning leaves.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from linconv.config import Config
from linconv.layers.regularizers import On, filters_of, total
from linconv.measure.machine import machine_state
from linconv.measure.network import measured_network
from linconv.measure.origin import origin
from linconv.measure.steps import TrainingSteps, recipe_of
from linconv.measure.timing import Call, interleave
from linconv.results.kinds.regularizer import (
    BY_AUTOGRAD,
    PENALTY,
    STEP,
    STEP_AGAIN,
    STEP_WITH,
    RegularizerCosts,
    RegularizerKey,
    RegularizerResult,
    TimedCall,
)
from linconv.results.provenance import hardware
from linconv.training.numerics import set_numerics
from linconv.training.penalties import penalty_terms
from linconv.training.step import Term


def measure_regularizer(
    config: Config, key: RegularizerKey, *, device: str, threads: int | None, command: str
) -> RegularizerResult:
    """Time the correlation regularizer of a variant on one network; nothing else should run on the machine.

    Args:
        config: an experiment with `regularizer`.
        device: "cpu" or "cuda", already reserved.
        threads: CPU threads; None takes all cores.
        command: the command line that repeats this.
    """
    options, variant = config.regularizer, config.known_variants[key.variant]
    assert options is not None
    regularizer = next(r for r in variant.regularizers if r.name == "correlation")
    set_numerics(threads or hardware()["cores"], deterministic=False)
    began, before = time.perf_counter(), machine_state(device)
    (term,) = penalty_terms((regularizer,))
    sizes: dict[str, Any] = {
        "input_shape": options.input_shape,
        "classes": options.classes,
        "device": device,
        "channels_last": options.channels_last,
    }

    def build() -> nn.Module:
        return measured_network(key.architecture, variant, **sizes)

    def step(due: tuple[Term, ...] = ()) -> Call:
        return TrainingSteps(build(), recipe_of(key.architecture, key.batch_size), **sizes).with_terms(due)

    model = build()
    on = regularizer.acts_on
    arms = {
        STEP: step(),
        STEP_AGAIN: step(),
        STEP_WITH: step((term,)),
        PENALTY: _both_passes(model, term.penalty),
        BY_AUTOGRAD: _both_passes(build(), lambda network: penalty_by_autograd(network, on)),
    }
    samples = interleave(
        arms,
        rounds=options.rounds,
        block_seconds=options.block_seconds,
        cell_seconds=options.cell_seconds,
        device=device,
    )
    return RegularizerResult(
        **key._asdict(),
        period=regularizer.period,
        filters=[(len(filters), filters[0].numel()) for _, _, filters in filters_of(model, on)],
        input_shape=options.input_shape,
        classes=options.classes,
        channels_last=options.channels_last,
        device=device,
        rounds_wanted=options.rounds,
        block_seconds=options.block_seconds,
        **RegularizerCosts().identity(config, key),
        arms=[TimedCall(name=n, calls=s.calls, seconds_per_call=tuple(s.seconds)) for n, s in samples.items()],
        machine={"before": before, "after": machine_state(device)},
        provenance=origin(device, command, began, channels_last=options.channels_last),
    )


def penalty_by_autograd(model: nn.Module, on: On = "primaries") -> Tensor:
    """The sum over layers and pairs i != j of |corr_ij| as one writes it down; NaN where a filter is constant."""
    sums = []
    for _, _, filters in filters_of(model, on):
        rows = filters.flatten(1)
        centred = rows - rows.mean(dim=1, keepdim=True)
        unit = centred / centred.norm(dim=1, keepdim=True)
        sums.append((unit @ unit.T - torch.eye(len(unit), dtype=unit.dtype, device=unit.device)).abs().sum())
    return total(model, sums)


def _both_passes(model: nn.Module, penalty: Callable[[nn.Module], Tensor]) -> Call:
    def call() -> None:
        for parameter in model.parameters():
            parameter.grad = None
        penalty(model).backward()

    return call
