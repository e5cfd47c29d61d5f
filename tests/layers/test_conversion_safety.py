"""Conversion and folding say what they do not do, lose nothing silently, and refuse what they cannot do."""

import copy
import functools
import logging
import threading
import types
from collections import UserDict, UserList, deque, namedtuple
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import prune

import linconv
from linconv import LinearConv2d, Variant, convert, fold, replaced_layers
from linconv.catalogue.methods import METHODS
from linconv.config.errors import UserError
from linconv.layers import conversion, method_class
from linconv.layers.copies import copied
from linconv.pruning import pruned_network


class Same(nn.Conv2d):
    """A subclass, as libraries have them."""

    def forward(self, x):
        return super().forward(2 * x)


class Cat(nn.Module):
    """A module that holds its convolutions in other places as well."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3)
        self.listed, self.named, self.paired = [self.a], {"b": self.b}, (self.a, [self.b])

    def forward(self, x):
        return self.named["b"](self.listed[0](x))


def network():
    return nn.Sequential(nn.Conv2d(3, 8, 3), Same(8, 8, 3), nn.Conv2d(8, 8, 3, bias=False), nn.Conv2d(8, 1, 1))


def messages(caplog):
    return [(record.levelname, record.message) for record in caplog.records]


def test_one_warning_says_how_many_are_replaced_and_why_the_others_are_not(caplog):
    convert(network(), "L", init="paper")
    ((level, message),) = messages(caplog)
    assert level == "WARNING"
    assert message == (
        "convert: 2 of 4 convolutions replaced by LinearConv2d; "
        "1 left plain (1): it is a Same, a subclass of nn.Conv2d that may compute something else; "
        "1 left plain (3): primary_ratio 0.5 of 1 filters leaves no primary filter; raise it or keep this "
        "convolution plain"
    )


def test_reasons_that_differ_in_a_value_alone_are_one(caplog):
    model = nn.Sequential(nn.Conv2d(8, 8, 3), *(nn.Conv2d(8, 8, 3, groups=groups) for groups in (2, 4, 8)))
    convert(model, "ghost")
    ((_, message),) = messages(caplog)
    assert "; 3 left plain (1, …): GhostConv2d replaces convolutions with groups=1 only, not groups=2; " in message
    assert message.count("left plain") == 1


def test_what_is_left_plain_as_asked_warns_nobody(caplog):
    with caplog.at_level(logging.INFO, "linconv"):
        convert(network(), "L", include=["0", "2"], skip_first=True, init="paper")
    assert messages(caplog) == [
        ("INFO", "convert: 1 of 4 convolutions replaced by LinearConv2d; 3 left plain as asked"),
    ]


def changed_forward():
    conv = nn.Conv2d(4, 4, 3)
    conv.forward = lambda x, forward=conv.forward: forward(x) + 1
    return conv


def tiled(self, x, weight, bias):
    return nn.functional.conv2d(nn.functional.pad(x, (1, 1, 1, 1), mode="circular"), weight, bias)


def changed(name, method):
    """A convolution on which somebody replaced a method, as a patch for seamless tiling does."""
    conv = nn.Conv2d(4, 4, 3)
    setattr(conv, name, types.MethodType(method, conv))
    return conv


def given(name, value, **options):
    conv = nn.Conv2d(4, 4, 3, **options)
    setattr(conv, name, value)
    return conv


def with_own_tensors():
    conv = nn.Conv2d(4, 4, 3)
    conv.register_buffer("scale", torch.ones(()))
    return conv


@pytest.mark.parametrize(
    ("conv", "reason"),
    [
        (lambda: Same(4, 4, 3), "it is a Same, a subclass"),
        (lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 3)), "its weight is parametrized"),
        (lambda: prune.l1_unstructured(nn.Conv2d(4, 4, 3), "weight", amount=0.5), "its weight is made by a hook"),
        (changed_forward, "its forward was replaced"),
        (lambda: changed("_conv_forward", tiled), "its _conv_forward was replaced"),
        (lambda: changed("train", lambda conv, mode=True: conv), "its train was replaced"),
        (
            lambda: given("weight", nn.Parameter(torch.zeros(4, 1, 3, 3))),
            r"its weight has the shape \(4, 1, 3, 3\), and its arguments say \(4, 4, 3, 3\)",
        ),
        (lambda: given("weight", nn.Parameter(torch.zeros(4, 4, 5, 5))), r"its weight has the shape"),
        (lambda: given("bias", nn.Parameter(torch.zeros(1))), r"its bias has the shape \(1,\)"),
        (lambda: given("in_channels", 8), r"arguments say \(4, 8, 3, 3\)"),
        (lambda: given("weight", None), "it has no filters yet"),
        (lambda: given("weight", nn.UninitializedParameter()), "it has no filters yet"),
        (lambda: given("padding", (1, 1), padding_mode="circular"), "its padding was changed after it was made"),
        (with_own_tensors, "it has modules, parameters or buffers of its own"),
        (lambda: nn.Conv2d(4, 4, 3, dtype=torch.complex64), "not torch.complex64"),
        (lambda: nn.Conv2d(4, 1, 3), "leaves no primary filter"),
    ],
)
def test_nothing_replaced_is_an_error_with_the_reason(conv, reason):
    model = nn.Sequential(nn.ReLU(), conv())
    with pytest.raises(ValueError, match=rf"^convert: no convolution is replaced: 1 left plain \(1\): .*{reason}"):
        convert(model, "L")
    assert convert(model, "L", allow_nothing=True) is model


@pytest.mark.parametrize("layer", ["L", "tucker", "ghost"])
def test_a_convolution_made_gray_is_left_plain_and_runs(caplog, layer):
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3))
    model[0].weight = nn.Parameter(model[0].weight.sum(1, keepdim=True))
    with pytest.raises(ValueError, match=r"its weight has the shape \(8, 1, 3, 3\)"):
        method_class("linear" if layer == "L" else layer).from_conv2d(model[0])
    convert(model, layer)
    assert type(model[0]) is nn.Conv2d
    assert "1 left plain (0): its weight has the shape (8, 1, 3, 3)" in caplog.text
    assert model(torch.zeros(1, 1, 8, 8)).shape == (1, 8, 4, 4)
    stays = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1))
    stays[0].padding, stays[0].stride = (2, 2), (2, 2)  # which nn.Conv2d reads when it runs
    assert convert(copy.deepcopy(stays), layer)(torch.zeros(1, 8, 9, 9)).shape == stays(torch.zeros(1, 8, 9, 9)).shape


def test_a_model_without_convolutions_says_where_they_are():
    with pytest.raises(ValueError, match=r"the model has no nn.Conv2d to replace"):
        convert(nn.Linear(2, 2), "L")
    with pytest.raises(ValueError, match=r"2 layers replaced them already; linconv.fold gives them back"):
        convert(convert(network(), "L", include=["0", "2"])[::2], "LRr")
    program = torch.export.export(nn.Sequential(nn.Conv2d(3, 8, 3)), (torch.zeros(1, 3, 8, 8),))
    with pytest.raises(ValueError, match=r"a program of torch.export has no nn.Conv2d; convert the model before"):
        convert(program.module(), "L")
    with pytest.raises(
        TypeError, match=r"model must be an nn.Module, not an ExportedProgram; use the model from before"
    ):
        convert(program, "L")


def test_a_report_has_the_names():
    done = conversion(network(), "L")
    assert list(done.selection.replaced.values()) == ["0", "2"] == replaced_layers(done.model)
    assert list(done.selection.refused) == ["1", "3"]


def test_convert_changes_the_model_in_place_and_fold_makes_a_copy_unless_asked_otherwise():
    model = nn.Sequential(nn.Conv2d(3, 8, 3))
    copied = convert(model, "L", inplace=False)
    assert (type(model[0]), type(copied[0])) == (nn.Conv2d, LinearConv2d)
    assert convert(model, "L") is model
    assert type(fold(model)[0]) is nn.Conv2d
    assert type(model[0]) is LinearConv2d
    assert fold(model, inplace=True) is model
    assert type(model[0]) is nn.Conv2d


@pytest.mark.parametrize(
    "call",
    [
        convert,
        fold,
        lambda m: linconv.optimize(m, torch.zeros(1, 3, 8, 8)),
        lambda m: linconv.set_mode(m, "auto"),
        lambda m: linconv.plan(m, (3, 8, 8), params=0.5),
        lambda m: linconv.sensitivity(m, torch.sum, [(1, 1)]),
        lambda m: linconv.complexity(m, (3, 8, 8)),
        lambda m: linconv.summary(m, (3, 8, 8)),
        lambda m: linconv.pruning.pruned_network(m, (3, 8, 8), 0.5),
    ],
)
def test_what_is_no_model_is_refused_by_name(call):
    with pytest.raises(
        TypeError, match=r"model must be an nn.Module, not an OrderedDict; load these tensors into their"
    ):
        call(network().state_dict())
    with pytest.raises(ValueError, match=r"model must be an nn.Module, not a str; make the model first"):
        call("model.pt")


class Wrapper(nn.Module):
    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, x):
        return self.module(x)


# The real ones need processes that talk to each other; what decides is the name of the class.
DistributedDataParallel = type("DistributedDataParallel", (Wrapper,), {})
FullyShardedDataParallel = type("FullyShardedDataParallel", (Wrapper,), {})
Sharded = type("FSDPConv2d", (type("FSDPModule", (), {}), Wrapper), {})


def compiled_in_place(model):
    model.compile()
    return model


@pytest.mark.parametrize(
    ("wrap", "reason"),
    [
        (DistributedDataParallel, "wrapped by DistributedDataParallel.* before DistributedDataParallel"),
        (FullyShardedDataParallel, "wrapped by FullyShardedDataParallel.* before FullyShardedDataParallel"),
        (Sharded, "wrapped by fully_shard.* before fully_shard"),
        (torch.compile, "compiled by torch.compile.* before torch.compile"),
        (compiled_in_place, "compiled by torch.compile.* before torch.compile"),
        (torch.jit.script, "a ScriptModule.* before torch.jit.script or torch.jit.trace"),
    ],
)
def test_wrappers_are_refused_by_name_wherever_they_are(wrap, reason):
    plain = nn.Sequential(nn.Conv2d(3, 8, 3))
    for model, name in ((wrap(copy.deepcopy(plain)), "the model"), (nn.Sequential(wrap(plain)), "0")):
        with pytest.raises(ValueError, match=rf"{name} is {reason}$") as refused:
            convert(model, "L")
        assert "; convert the model before " in str(refused.value)
        with pytest.raises(ValueError, match=rf"{name} is {reason}$"):
            linconv.optimize(model, torch.zeros(1, 3, 8, 8))
    if wrap is torch.jit.script:
        return
    wrapped = wrap(convert(nn.Sequential(nn.Conv2d(3, 8, 3)), "L"))
    for do, name in ((fold, "fold"), (lambda model: linconv.optimize(model, torch.zeros(1, 3, 8, 8)), "optimize")):
        with pytest.raises(ValueError, match=rf"the model is {reason}$") as refused:
            do(wrapped)
        assert f"; {name} the model before " in str(refused.value)


def test_a_wrapper_without_convolutions_is_nobodys_business():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), torch.jit.script(nn.ReLU()), torch.compile(nn.ReLU()))
    assert type(convert(model, "L")[0]) is LinearConv2d


@pytest.mark.parametrize("tie", ["parameter", "data", "bias"])
def test_tied_convolutions_stay_tied(caplog, tie):
    model = nn.Sequential(*(nn.Conv2d(8, 8, 3, padding=1) for _ in range(3)))
    if tie == "data":
        model[1].weight.data = model[0].weight.data
    else:
        name = "weight" if tie == "parameter" else "bias"
        setattr(model[1], name, getattr(model[0], name))
    params = sum(p.numel() for p in model[:2].parameters())
    convert(model, "L")
    assert replaced_layers(model) == ["2"]
    assert sum(p.numel() for p in model[:2].parameters()) == params
    assert "2 left plain (0, …): it shares its parameters with another module" in caplog.text


@pytest.mark.parametrize("name", ["filter_size", "basis", "stages", "mode", "coefficients", "primary_filters"])
def test_an_attribute_whose_name_the_new_layer_needs_leaves_the_convolution_plain(caplog, name):
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3))
    setattr(model[0], name, 3)
    convert(model, "L")
    assert replaced_layers(model) == ["1"]
    assert f"1 left plain (0): it has an attribute `{name}`, a name with another meaning in Lin" in caplog.text
    assert getattr(model[0], name) == 3
    assert linconv.complexity(model, (3, 8, 8)).params == sum(p.numel() for p in model.parameters())


def test_a_folded_layer_has_no_attribute_of_the_layer_and_can_be_converted_again():
    model = fold(linconv.set_mode(convert(nn.Sequential(nn.Conv2d(3, 8, 3)), "L"), "feature"))
    assert vars(model[0]).keys() == vars(nn.Conv2d(1, 1, 1)).keys()
    assert replaced_layers(convert(model, "L")) == ["0"]


def tied_by_memory(**options):
    """Convolutions whose filters are two parameters with one memory, of the first the second half."""
    model = nn.Sequential(*(nn.Conv2d(8, 8, 3, padding=1, **options) for _ in range(3)))
    memory = torch.randn(12, 8, 3, 3)
    model[0].weight, model[1].weight = nn.Parameter(memory[:8]), nn.Parameter(memory[4:])
    return model


def test_parameters_with_one_memory_stay_tied_in_copies_and_conversions(caplog):
    model = tied_by_memory()
    model.register_buffer("seen", model[0].weight.data[5])
    x = torch.randn(1, 8, 9, 9)
    for made in (
        copied(model),
        convert(model, "L", inplace=False),
        linconv.plan(model, (8, 9, 9), params=0.9).apply(model),
        fold(convert(copied(model), "L")),
    ):
        assert all(torch.equal(made.state_dict()[name], values) for name, values in model[:2].state_dict().items())
        assert made[0].weight.data_ptr() != model[0].weight.data_ptr()
        with torch.no_grad():
            made[0].weight[4:].mul_(2)
        assert torch.equal(made[1].weight[:4], made[0].weight[4:])
        assert torch.equal(made.seen, made[0].weight[5])
        assert made(x).shape == x.shape
    assert "2 left plain (0, …): it shares its parameters with another module" in caplog.text
    with pytest.raises(ValueError, match=r"layer 1 shares its parameters with 0|layer 0 shares its parameters with 1"):
        linconv.pruning.pruned_network(model, (8, 9, 9), 0.7, exclude=["2"])


def test_a_copy_of_one_memory_that_is_not_shared_takes_what_it_shows_alone():
    memory = torch.randn(1000, 8, 3, 3)
    model = nn.Sequential(nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3))
    model[0].weight, model[1].weight = nn.Parameter(memory[:8]), nn.Parameter(memory[8:16])
    made = copied(model)
    assert torch.equal(made[1].weight, model[1].weight)
    assert [m.weight.untyped_storage().nbytes() for m in made] == [8 * 8 * 9 * 4] * 2


HOOKS = [
    lambda m: setattr(m, "eval", lambda: m),
    lambda m: m.register_forward_hook(lambda *_: None),
    lambda m: m.register_forward_pre_hook(lambda *_: None),
    lambda m: m.register_full_backward_hook(lambda *_: None),
    lambda m: m.register_full_backward_pre_hook(lambda *_: None),
    lambda m: m.register_state_dict_post_hook(lambda *_: None),
    lambda m: m.register_state_dict_pre_hook(lambda *_: None),
    lambda m: m.register_load_state_dict_pre_hook(lambda *_: None),
    lambda m: m.register_load_state_dict_post_hook(lambda *_: None),
    lambda m: next(m.parameters()).register_hook(lambda grad: grad),
    lambda m: next(m.parameters()).register_post_accumulate_grad_hook(lambda p: None),
]


@pytest.mark.parametrize("hook", HOOKS)
def test_hooks_of_every_kind_are_refused_by_name_before_anything_is_replaced(hook):
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3))
    hook(model[1])
    if "eval" not in vars(model[1]):  # of which the reason is said
        with pytest.raises(ValueError, match=r"1 has hooks, .* exclude '1'"):
            convert(model, "L")
        assert not replaced_layers(model)
    new = convert(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3)), "L")
    hook(new[1])
    with pytest.raises(ValueError, match=r"1 has (hooks|a `eval` of its own), which the new layer would not have"):
        fold(new)
    inner = convert(nn.Sequential(nn.Conv2d(3, 8, 3)), "L")
    hook(inner[0].coefficients)
    with pytest.raises(ValueError, match=r"0 has (hooks|a `eval` of its own), "):
        fold(inner)


@pytest.mark.parametrize("layer", METHODS)
def test_marks_on_a_convolution_and_its_parameters_carry_over_and_back(layer):
    conv = nn.Conv2d(16, 16, 3, padding=1)
    conv.stage, conv.weight._optim, conv.bias.no_decay = 3, {"lr": 0.1}, True
    new = convert(nn.Sequential(conv), layer)[0]
    marked = {name for name, p in new.named_parameters() if getattr(p, "_optim", None) == {"lr": 0.1}}
    assert marked == {name for name, _ in new.named_parameters() if name != "bias"}
    assert (new.stage, new.bias.no_decay) == (3, True)
    if new.folds:
        folded = fold(nn.Sequential(new))[0]
        assert (folded.stage, folded.weight._optim, folded.bias.no_decay) == (3, {"lr": 0.1}, True)
        assert vars(folded).keys() - vars(nn.Conv2d(1, 1, 1)).keys() == {"stage"}


def test_convolutions_in_lists_dictionaries_and_tuples_are_replaced_there_too():
    model = convert(Cat(), "L")
    assert model.listed[0] is model.a is model.paired[0]
    assert model.named["b"] is model.b is model.paired[1][0]
    model(torch.zeros(1, 3, 8, 8)).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    folded = fold(model)
    assert type(folded.listed[0]) is nn.Conv2d
    assert folded.listed[0] is folded.a


Pair = namedtuple("Pair", "first second")


@dataclass(frozen=True)
class Held:
    conv: nn.Module


@pytest.mark.parametrize(
    ("hold", "found"),
    [
        (lambda c: Pair(c, 1), lambda held: held.first),
        (lambda c: [Pair([c], 1)], lambda held: held[0].first[0]),
        (lambda c: {c}, lambda held: next(iter(held))),
        (lambda c: frozenset({c}), lambda held: next(iter(held))),
        (lambda c: deque([c], maxlen=2), lambda held: held[0]),
        (lambda c: UserList([c]), lambda held: held[0]),
        (lambda c: UserDict(a=c), lambda held: held["a"]),
        (lambda c: {"b": 0, c: 1}, lambda held: next(key for key in held if key != "b")),
        (lambda c: Held(c), lambda held: held.conv),
        (lambda c: types.SimpleNamespace(conv=(c,)), lambda held: held.conv[0]),
        (lambda c: functools.partial(c), lambda held: held.func),
        (lambda c: functools.partial(max, c, key=c), lambda held: held.args[0]),
        (lambda c: functools.partial(max, key=c), lambda held: held.keywords["key"]),
        (lambda c: c.forward, lambda held: held.__self__),
    ],
)
def test_a_convolution_is_replaced_wherever_a_module_holds_it(hold, found):
    model = nn.Sequential(nn.Conv2d(3, 8, 3))
    model.held = hold(model[0])
    convert(model, "L")
    assert type(model[0]) is LinearConv2d
    assert found(model.held) is model[0]
    folded = fold(model)
    assert type(folded[0]) is nn.Conv2d
    assert found(folded.held) is folded[0]


def test_what_a_module_holds_beside_convolutions_is_the_same_object_afterwards():
    kept = [Pair(1, [2]), {1}, deque([1]), Held(3), functools.partial(max, 1), torch.Size([1]), {"a": (1, 2)}]
    model = nn.Sequential(nn.Conv2d(3, 8, 3))
    model.kept = list(kept)
    convert(model, "L")
    assert all(now is before for now, before in zip(model.kept, kept, strict=True))


def test_a_method_is_named_with_its_options():
    model = convert(nn.Sequential(nn.Conv2d(8, 8, 3)), "tucker", in_rank=0.5, out_rank=np.int64(3))
    assert tuple(model[0].core.shape[:2]) == (3, 4)
    for name in METHODS:
        assert isinstance(convert(nn.Conv2d(16, 16, 3, padding=1), name), method_class(name))
    with pytest.raises(ValueError, match="unknown variant 'tuker'; did you mean 'tucker'"):
        convert(model, "tuker")
    assert linconv.Variant is Variant


@pytest.mark.parametrize("layer", METHODS)
def test_symbolic_tracing_keeps_a_layer_as_one_node(layer):
    model = convert(nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.ReLU()), layer).eval()
    graph = torch.fx.symbolic_trace(model)
    x = torch.randn(2, 16, 9, 8)
    torch.testing.assert_close(graph(x), model(x))
    assert [node.op for node in graph.graph.nodes] == ["placeholder", "call_module", "call_module", "output"]
    if model[0].folds:
        torch.testing.assert_close(fold(graph)(x), model(x), rtol=1e-4, atol=1e-5)


class Locked(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Linear(8, 4)
        self.norm.lock = threading.Lock()

    def forward(self, x):
        return self.head(self.norm(self.conv(x)).mean((2, 3)))


IMAGES = torch.rand(2, 3, 8, 8)
BATCHES = [(IMAGES, torch.tensor([0, 1]))]
COPYING = {
    "convert": lambda model: linconv.convert(model, inplace=False),
    "fold": lambda model: linconv.fold(linconv.convert(model)),
    "optimize": lambda model: linconv.optimize(model, IMAGES),
    "plan": lambda model: linconv.plan(model, (3, 8, 8), params=0.9),
    "sensitivity": lambda model: linconv.sensitivity(model, nn.functional.cross_entropy, BATCHES),
    "complexity": lambda model: linconv.complexity(model, (3, 8, 8)),
    "prune": lambda model: pruned_network(model, (3, 8, 8), 0.7, exclude=("head",)),
}


@pytest.mark.parametrize("tool", COPYING)
def test_an_attribute_that_cannot_be_copied_is_named(tool):
    message = (
        r"the model cannot be copied, for its attribute norm\.lock: .*cannot pickle '_thread\.lock' object; set it"
    )
    with pytest.raises(UserError, match=message):
        COPYING[tool](Locked())
