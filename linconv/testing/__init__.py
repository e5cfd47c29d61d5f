"""A conformance kit: whether a method keeps what a replacement of `nn.Conv2d` promises.

`check_method(MyConv2d)` runs every check and raises one `ConformanceError`, which lists what failed. As tests of their
own, one for each check:

    @linconv.testing.parametrize(MyConv2d, (MyConv2d, {"rank": 3}))
    def test_conformance(check):
        check()

pytest is needed for `parametrize` alone.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from linconv.config import Variant
from linconv.config.errors import first_line
from linconv.layers import ConvReplacement
from linconv.testing import network, state, values
from linconv.testing.subject import Subject, subject_of

__all__ = ["CHECKS", "Check", "ConformanceError", "Report", "check_method", "parametrize"]

Method = type[ConvReplacement] | Variant | str

CHECKS: dict[str, Callable[[Subject], None]] = {
    "signature": state.check_signature,
    "options": state.check_options,
    "outputs": values.check_outputs,
    "padding_mode": values.check_padding_mode,
    "groups": values.check_groups,
    "gradients": values.check_gradients,
    "batches": values.check_batches,
    "macs": values.check_macs,
    "parameters": values.check_parameters,
    "dtype": values.check_dtype,
    "layout": values.check_layout,
    "device": state.check_device,
    "attributes": state.check_attributes,
    "conversion": state.check_conversion,
    "folding": state.check_folding,
    "reset": state.check_reset,
    "state_dict": state.check_state_dict,
    "copies": state.check_copies,
    "export": state.check_export,
    "tracing": state.check_tracing,
    "network": network.check_network,
}


class Report(NamedTuple):
    """What the checks found.

    Attributes:
        method: the class and its options.
        passed: names of the checks that passed.
        failed: the checks that did not, and the first fault that each found.
        refused: convolutions of the grid that the method refuses, and why.
    """

    method: str
    passed: tuple[str, ...]
    failed: dict[str, str]
    refused: dict[str, str]


class ConformanceError(AssertionError):
    """Raised by `check_method`; the message lists the checks that failed, `report` has everything."""

    def __init__(self, report: Report) -> None:
        lines = [f"  {check}: {fault}" for check, fault in report.failed.items()]
        count = f"{len(report.failed)} of {len(report.failed) + len(report.passed)} checks failed"
        super().__init__("\n".join([f"{report.method}: {count}", *lines]))
        self.report = report


class Check(NamedTuple):
    """One check of one method; calling it raises what the check raises."""

    name: str
    subject: Subject

    def __call__(self) -> None:
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]), torch.device("cpu"):
            warnings.simplefilter("ignore")
            torch.manual_seed(0)
            CHECKS[self.name](self.subject)

    def __str__(self) -> str:
        return f"{self.subject.name}-{self.name}"


def check_method(method: Method, **options: Any) -> Report:
    """Run every check on a method: outputs, gradients, costs, dtype, device, layout, conversion, state, options.

    Args:
        method: a subclass of `ConvReplacement`, a `Variant`, or the name of a method ("ghost") or a variant ("LRr").
        options: of the method, by keyword, for every layer that is made.

    Returns:
        What passed, and which convolutions of the grid the method refuses.

    Raises:
        ConformanceError: at least one check failed.
        ValueError: an unknown name.
        UnsupportedConvError: the method replaces no convolution of the grid.
    """
    passed, failed = [], {}
    with torch.device("cpu"):
        subject = subject_of(method, **options)
        _ = subject.first
    for name in CHECKS:
        try:
            Check(name, subject)()
        except Exception as error:
            failed[name] = first_line(error).removeprefix("AssertionError: ")
        else:
            passed.append(name)
    try:
        with torch.device("cpu"):
            refused = subject.refused
    except AssertionError:  # a check has reported it
        refused = {}
    report = Report(subject.name, tuple(passed), failed, refused)
    if failed:
        raise ConformanceError(report)
    return report


def parametrize(*methods: Method | tuple[Method, dict[str, Any]]) -> Any:
    """A decorator of pytest that calls a test with every `check` of every method, each a function without arguments.

    Args:
        methods: as `check_method` takes them; a method with options is a pair (method, options).
    """
    import pytest

    pairs = [method if isinstance(method, tuple) else (method, {}) for method in methods]
    subjects = [subject_of(method, **options) for method, options in pairs]
    return pytest.mark.parametrize("check", [Check(name, s) for s in subjects for name in CHECKS], ids=str)
