"""Checks of what a layer keeps: its arguments, its state, and what converting, folding, copying and exporting keep."""

from __future__ import annotations

import copy
import inspect
import io
import pickle
from typing import Any

import torch
from torch import Tensor, nn

from linconv.layers import ConvReplacement, fold
from linconv.layers.geometry import asks_for_channels_last
from linconv.layers.methods import options_of
from linconv.testing.subject import Subject, in_every_form, shaken, tensors
from linconv.testing.values import close, located


class Nonsense:
    """A value that no option allows."""

    def __repr__(self) -> str:
        return "nonsense"


def check_signature(subject: Subject) -> None:
    """The arguments are those of `nn.Conv2d`, then the options, by keyword only, each with a default."""
    parameters = list(inspect.signature(subject.cls).parameters.values())
    expected = list(inspect.signature(nn.Conv2d).parameters.values())
    first, own = parameters[: len(expected)], parameters[len(expected) :]
    assert [(p.name, p.default, p.kind) for p in first] == [(p.name, p.default, p.kind) for p in expected], (
        "the first arguments are not those of nn.Conv2d"
    )
    for parameter in own:
        assert parameter.kind is parameter.KEYWORD_ONLY, f"the option {parameter.name} is not keyword-only"
        assert parameter.default is not parameter.empty, f"the option {parameter.name} has no default"
    assert subject.cls.__doc__, "the class has no docstring"


def check_options(subject: Subject) -> None:
    """An unknown option, and a wrong value of a known one, are refused with the option's name."""
    for name, wanted in [("nonsense", TypeError), *((name, ValueError) for name in options_of(subject.cls))]:
        found = _refusal(subject, {name: Nonsense()})
        assert found is not None, f"the option {name} takes any value; its type in `build` should say which"
        assert isinstance(found, wanted), f"a wrong option {name} raises {type(found).__name__}: {found}"
        assert name in str(found), f"the message about a wrong option {name} does not name it: {found}"
    for init in subject.cls.inits:
        subject.layer(init=init)


def _refusal(subject: Subject, wrong: dict[str, Any]) -> Exception | None:
    try:
        subject.layer(**wrong)
    except Exception as error:
        return error
    return None


def check_device(subject: Subject) -> None:
    """A layer can be made on the meta device and filled later; on a GPU, where there is one, it computes the same."""
    case = subject.first
    with torch.device("meta"):
        within = subject.layer()
    for layer in (subject.layer(device="meta"), within):
        for name, tensor in tensors(layer).items():
            assert tensor.is_meta, f"{name} is on {tensor.device}, not on meta"
        output = layer(case.images(device="meta"))
        assert output.is_meta, f"on meta the output is on {output.device}"
        assert output.shape == case.plain(device="meta")(case.images(device="meta")).shape, "on meta the shape differs"
    source, x = shaken(subject.layer()), case.images()
    filled = within.to_empty(device="cpu")
    filled.reset_parameters()
    assert filled(x).isfinite().all(), "after to_empty and reset_parameters the output is not finite"
    filled.load_state_dict(source.state_dict())
    close(filled(x), source(x), "after to_empty and load_state_dict the output")
    assigned = subject.layer(device="meta")
    assigned.load_state_dict(source.state_dict(), assign=True)
    close(assigned(x), source(x), "after load_state_dict into a layer on meta the output")
    if torch.cuda.is_available():
        there = copy.deepcopy(source).cuda()
        for form in in_every_form(there):
            with located(case, form):
                close(there(x.cuda()).cpu(), source(x), "the output on a GPU")
        made = subject.layer(device="cuda")
        assert all(t.is_cuda for t in tensors(made).values()), "made on a GPU, a tensor is elsewhere"


def check_attributes(subject: Subject) -> None:
    """Every attribute can be asked for: `hasattr` and tools that look at all of them raise nothing."""
    for module in subject.layer().modules():
        for name, _ in inspect.getmembers(type(module)):
            try:
                getattr(module, name, None)
            except Exception as error:
                raise AssertionError(f"asking for {name} raises {type(error).__name__}: {error}") from error


def check_conversion(subject: Subject) -> None:
    """`from_conv2d` keeps geometry, dtype, layout, training mode and frozen parameters; refusals are the documented."""
    for case in subject.cases:
        with located(case):
            conv = case.plain(dtype=torch.float32).eval()
            layer = subject.cls.from_conv2d(conv, **subject.options)
            for name in ("in_channels", "out_channels", "stride", "groups", "padding_mode"):
                found, wanted = getattr(layer, name), getattr(conv, name)
                assert found == wanted, f"converted has {name} {found}, not {wanted}"
            assert all(t.dtype == torch.float32 for t in layer.parameters()), "the dtype is lost"
            assert (layer.bias is None) == (conv.bias is None), "the bias is not that of the convolution"
            assert not any(m.training for m in layer.modules()), "evaluation mode is lost"
    conv = subject.first.plain()
    assert all(m.training for m in _converted(subject, conv).modules()), "training mode is lost"
    laid = _converted(subject, subject.first.plain().to(memory_format=torch.channels_last))
    assert any(map(asks_for_channels_last, laid.parameters())), "channels_last is lost"
    conv.weight.requires_grad_(False)
    learning = [name for name, p in _converted(subject, conv).named_parameters() if p.requires_grad]
    assert learning == ["bias"], f"frozen filters become {learning}"
    assert all(t.is_meta for t in tensors(_converted(subject, subject.first.plain(device="meta"))).values()), (
        "the meta device is lost"
    )
    frozen = _converted(subject, subject.first.plain().requires_grad_(False))
    assert not any(p.requires_grad for p in frozen.parameters()), "a frozen convolution learns"
    _check_scale(subject)


def _check_scale(subject: Subject) -> None:
    """Filters drawn anew have the deviation of those replaced where the method says so; fitted ones are nearer."""
    conv = subject.first.plain()
    with torch.no_grad():
        conv.weight.mul_(3)
    if subject.cls.scaled and subject.cls.folds:
        layer = _converted(subject, conv)
        close(layer.weight.std(), conv.weight.std(), "the deviation of new filters", 1e-6)
    for init in subject.cls.fits:
        fitted = subject.cls.from_conv2d(conv, **{**subject.options, "init": init})
        error = float((fitted.weight - conv.weight).norm() / conv.weight.norm())
        assert error < 1, f"init={init!r} is no nearer to the given filters than zero: {error:.2f} of their norm"
        assert torch.equal(fitted.bias, conv.bias), f"init={init!r} loses the bias"  # type: ignore[arg-type]


def check_folding(subject: Subject) -> None:
    """`to_conv2d` gives `nn.Conv2d` of the same output, dtype, mode and frozen parameters, and shares no memory."""
    for case in subject.cases:
        with located(case):
            layer, x = shaken(subject.layer(case)), case.images()
            assert hasattr(layer, "weight") == layer.folds, "hasattr(layer, 'weight') is not whether it folds"
            if not layer.folds:
                _check_unfoldable(layer)
                continue
            conv = layer.to_conv2d()
            assert type(conv) is nn.Conv2d, f"folded is a {type(conv).__name__}"
            given = case.plain(device="meta")
            for name in ("stride", "groups", "padding_mode"):
                found, wanted = getattr(conv, name), getattr(given, name)
                assert found == wanted, f"folded has {name} {found}, not {wanted}"
            close(conv(x), layer(x), "the folded output")
    if not subject.cls.folds:
        return
    layer = shaken(subject.layer()).train()
    (folded,) = fold(nn.Sequential(layer)).children()
    assert isinstance(folded, nn.Conv2d), f"folded is a {type(folded).__name__}"
    assert folded.training, "training mode is lost"
    assert folded.weight.dtype == layer.weight.dtype, "the dtype is lost"
    storages = {p.untyped_storage().data_ptr() for p in layer.parameters()}
    own = {p.untyped_storage().data_ptr() for p in layer.to_conv2d().parameters()}
    assert not storages & own, "the folded layer shares memory"
    for name, parameter in layer.named_parameters():
        parameter.requires_grad_(name == "bias")
    assert (layer.to_conv2d().weight.requires_grad, layer.eval().to_conv2d().training) == (False, False), (
        "frozen filters, or evaluation mode, are lost"
    )


def _check_unfoldable(layer: ConvReplacement) -> None:
    try:
        layer.to_conv2d()
    except TypeError:
        return
    raise AssertionError("to_conv2d raises no TypeError although folds is False")


def check_reset(subject: Subject) -> None:
    """`reset_parameters` draws anew, the same with the same seed, and finite values."""
    draws = []
    layer = subject.layer()
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        layer.reset_parameters()
        draws.append({name: tensor.clone() for name, tensor in tensors(layer).items()})
    for name, tensor in draws[0].items():
        assert tensor.isfinite().all(), f"{name} is not finite"
        assert torch.equal(tensor, draws[1][name]), f"{name} depends on more than the seed"
    assert any(not torch.equal(tensor, draws[2][name]) for name, tensor in draws[0].items()), "nothing is drawn"


def check_state_dict(subject: Subject) -> None:
    """A layer that loads the state of another computes the same; the state is complete and can be saved."""
    for case in subject.cases[:12]:
        with located(case):
            layer, other, x = shaken(subject.layer(case)), shaken(subject.layer(case)), case.images()
            state = layer.state_dict()
            missing = [name for name, _ in layer.named_parameters() if name not in state]
            assert not missing, f"the state lacks {', '.join(missing)}"
            file = io.BytesIO()
            torch.save(state, file)
            file.seek(0)
            other.load_state_dict(torch.load(file, weights_only=True))
            assert _same(other(x), layer(x)), "a layer that loaded the state computes something else"


def check_copies(subject: Subject) -> None:
    """deepcopy and pickle keep the output, and a copy shares no memory."""
    layer, x = shaken(subject.layer()), subject.first.images()
    expected = layer(x)
    copied = copy.deepcopy(layer)
    for how, twin in (("deepcopy", copied), ("pickle", pickle.loads(pickle.dumps(layer)))):
        assert _same(twin(x), expected), f"{how} computes something else"
    shaken(copied)
    assert _same(layer(x), expected), "changing a deep copy changes the layer"


def check_export(subject: Subject) -> None:
    """`torch.export` gives a program of the same output."""
    layer, x = shaken(subject.layer()), subject.first.images()
    for form in in_every_form(layer):
        with located(subject.first, form):
            program = torch.export.export(layer, (x,))
            close(program.module()(x), layer(x), "the output of the exported program")


def check_tracing(subject: Subject) -> None:
    """`torch.fx` keeps the layer, inside a model, as one node of its graph."""
    model, x = nn.Sequential(shaken(subject.layer())), subject.first.images()
    graph = torch.fx.symbolic_trace(model)
    close(graph(x), model(x), "the output of the traced model")
    assert [n.op for n in graph.graph.nodes] == ["placeholder", "call_module", "output"], "tracing goes into the layer"


def _converted(subject: Subject, conv: nn.Conv2d, **options: Any) -> ConvReplacement:
    """A new layer in place of a convolution, drawn and not fitted."""
    drawn = {"init": subject.cls.inits[0]} if subject.cls.inits else {}
    return subject.cls.from_conv2d(conv, **{**drawn, **subject.options, **options})


def _same(found: Tensor, wanted: Tensor) -> bool:
    return torch.equal(found, wanted)
