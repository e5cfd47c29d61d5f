"""The conformance kit passes a sound method and finds each of many planted faults by the check that names it."""

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from linconv import testing
from linconv.config import Variant
from linconv.layers import ConvReplacement, Count, Factory, Macs, Share, Stage, UnsupportedConvError
from linconv.testing.subject import subject_of


class Sound(ConvReplacement):
    """W = a F: filters F and one scale a for each."""

    scaled = ("filters",)

    def build(self, factory: Factory, *, copies: Count = 1, share: Share = 0.5) -> None:
        self.filters = factory.parameter(self.out_channels, *self.filter_shape)
        self.scale = factory.parameter(self.out_channels, 1, 1, 1)

    def reset_parameters(self) -> None:
        nn.init.kaiming_uniform_(self.filters)
        nn.init.ones_(self.scale)
        self.reset_bias()

    @property
    def weight(self):
        return self.scale * self.filters


class Unfoldable(Sound):
    """relu(F * x), which equals no plain convolution."""

    folds = False
    forms = ("feature",)
    scaled = ()

    @property
    def weight(self):
        raise AttributeError

    def forward(self, input):
        return F.relu(self.convolve(input, self.scale * self.filters, self.bias))


class Ungrouped(Sound):
    """A method that refuses groups, as it should."""

    def build(self, factory: Factory) -> None:
        if self.groups > 1:
            raise UnsupportedConvError("no groups")
        super().build(factory)


def fault(base=Sound, **members):
    return type("Faulty", (base,), {"__doc__": "A fault.", **members})


def remade(**wrong):
    """A build that overwrites part of the geometry, so that the layer is consistent with itself."""

    def build(self, factory, *, copies=1, share=0.5):
        for name, value in wrong.items():
            setattr(self, name, value)
        Sound.build(self, factory)

    return build


def dense(self, factory):
    self.filters = factory.parameter(self.out_channels, self.in_channels, *self.kernel_size)
    self.scale = factory.parameter(self.out_channels, 1, 1, 1)


def in_single_precision(self, factory):
    self.filters = nn.Parameter(torch.empty(self.out_channels, *self.filter_shape, device=factory.device))
    self.scale = factory.parameter(self.out_channels, 1, 1, 1)


def with_buffer(persistent, device=None):
    def build(self, factory):
        Sound.build(self, factory)
        drawn = torch.rand(self.out_channels, 1, 1, 1, device=device or factory.device, dtype=factory.dtype)
        self.register_buffer("gain", drawn, persistent=persistent)

    return build


def plain_tensor(self, factory):
    Sound.build(self, factory)
    self.gain = torch.rand(self.out_channels, 1, 1, 1, device=factory.device, dtype=factory.dtype)


def unpicklable(self, factory):
    Sound.build(self, factory)
    self.activation = lambda x: x


def unnamed(self, factory, *, copies=1):
    if not isinstance(copies, int):
        raise ValueError("wrong")
    Sound.build(self, factory)


def refuses_by_another_error(self, factory):
    if self.groups > 1:
        raise RuntimeError("no groups")
    Sound.build(self, factory)


def gained(self):
    return self.gain * self.scale * self.filters


def sharing_memory(self):
    conv = Sound.to_conv2d(self)
    conv.weight = self.filters
    return conv


def in_training_mode(cls, conv, **options):
    return super(Sound, cls).from_conv2d(conv, **options).train()


def tied(cls, layers, init):
    first, second = layers.values()
    second.filters = first.filters


def unfrozen(cls, conv, **options):
    return super(Sound, cls).from_conv2d(conv, **options).requires_grad_(True)


def run(self, x, **wrong):
    """The layer's convolution with zeros at the borders, and with whatever else is wrong."""
    names = ("stride", "padding", "dilation", "groups")
    given = {"weight": self.weight, "bias": self.bias} | {name: getattr(self, name) for name in names}
    return F.conv2d(x, **given | wrong)


def ones(self):
    for parameter in self.parameters():
        nn.init.ones_(parameter)


def state_without_scale(self, **more):
    return {name: value for name, value in nn.Module.state_dict(self, **more).items() if name != "scale"}


def half_detached(self, x):
    return F.relu(self.convolve(x, self.scale.detach() * self.filters, self.bias)) + 0 * self.scale.sum()


def flipped(self):
    return (self.scale * self.filters).flip(0)


def with_right_filters(self, x):
    return self.convolve(x, self.scale * self.filters, self.bias)


def contiguous(self):
    return Sound.to_conv2d(self).to(memory_format=torch.contiguous_format)


sound = Sound.forward
FAULTS = {
    "wrong weight": ("outputs", fault(weight=property(flipped), forward=with_right_filters)),
    "bias forgotten": ("outputs", fault(forward=lambda self, x: run(self, x, bias=None))),
    "ignored stride": ("outputs", fault(forward=lambda self, x: run(self, x, stride=1))),
    "stride overwritten": ("outputs", fault(build=remade(stride=(1, 1)))),
    "ignored dilation": ("outputs", fault(forward=lambda self, x: run(self, x, dilation=1))),
    "dilation overwritten": ("outputs", fault(build=remade(dilation=(1, 1)))),
    "ignored groups": ("outputs", fault(build=dense, forward=lambda self, x: run(self, x, groups=1))),
    "ignored padding_mode": ("outputs", fault(forward=run)),
    "padding_mode overwritten": ("outputs", fault(build=remade(padding_mode="zeros"))),
    "padding_mode, unfoldable": ("padding_mode", fault(Unfoldable, build=remade(padding_mode="zeros"))),
    "stages": ("macs", fault(stages=lambda self, pixels, inputs: (Stage(self.filter_size * pixels, True),))),
    "stages of the input": ("macs", fault(stages=lambda self, pixels, inputs: Sound.stages(self, inputs, inputs))),
    "stages, unfoldable": ("macs", fault(Unfoldable, macs_at=lambda self, *_: Macs(1))),
    "params_expected": ("parameters", fault(params_expected=property(lambda self: self.filters.numel()))),
    "a plain tensor": ("parameters", fault(build=plain_tensor, weight=property(gained))),
    "lost dtype of a parameter": ("dtype", fault(build=in_single_precision)),
    "lost dtype of the output": ("dtype", fault(forward=lambda self, x: sound(self, x).float())),
    "lost layout": ("layout", fault(forward=lambda self, x: sound(self, x).contiguous())),
    "lost layout in folding": ("layout", fault(to_conv2d=contiguous)),
    "detached": ("gradients", fault(forward=lambda self, x: self.convolve(x, self.weight.detach(), self.bias))),
    "detached, unfoldable": ("gradients", fault(Unfoldable, forward=half_detached)),
    "no empty batch": ("batches", fault(forward=lambda self, x: sound(self, x) if len(x) else x)),
    "no image alone": ("batches", fault(forward=lambda self, x: sound(self, x.view(-1, *x.shape[-3:])))),
    "state lacks a buffer": ("state_dict", fault(build=with_buffer(False), weight=property(gained))),
    "state lacks a parameter": ("state_dict", fault(state_dict=state_without_scale)),
    "a buffer left on the CPU": ("device", fault(build=with_buffer(True, "cpu"), weight=property(gained))),
    "training mode of folding": ("folding", fault(to_conv2d=lambda self: Sound.to_conv2d(self).train())),
    "folding learns": ("folding", fault(to_conv2d=lambda self: Sound.to_conv2d(self).requires_grad_(True))),
    "folding shares memory": ("folding", fault(to_conv2d=sharing_memory)),
    "folding in spite of folds": ("folding", fault(Unfoldable, to_conv2d=lambda self: nn.Conv2d(1, 1, 1))),
    "training mode of conversion": ("conversion", fault(from_conv2d=classmethod(in_training_mode))),
    "frozen parameters of conversion": ("conversion", fault(from_conv2d=classmethod(unfrozen))),
    "scale of conversion": ("conversion", fault(match_=lambda self, conv: None)),
    "reset draws nothing": ("reset", fault(reset_parameters=ones)),
    "pickle": ("copies", fault(build=unpicklable)),
    "branches on values": ("export", fault(forward=lambda self, x: sound(self, x if x.sum() > 1e9 else x * 1))),
    "shares parameters by their names": ("network", fault(share_=classmethod(tied))),
    "any value of an option": ("options", fault(build=remade())),
    "an option without its name": ("options", fault(build=unnamed)),
    "refuses by another error": ("outputs", fault(build=refuses_by_another_error)),
}
# the faults that a stranger's method has most likely
COMMON = {
    "wrong weight": "outputs",
    "stages": "macs",
    "params_expected": "parameters",
    "lost dtype of a parameter": "dtype",
    "lost layout": "layout",
    "state lacks a buffer": "state_dict",
    "ignored stride": "outputs",
    "ignored groups": "outputs",
    "ignored padding_mode": "outputs",
    "training mode of conversion": "conversion",
}


def failed(cls):
    with pytest.raises(testing.ConformanceError) as caught:
        testing.check_method(cls)
    assert caught.value.report.failed.keys() <= testing.CHECKS.keys()
    for check, why in caught.value.report.failed.items():
        assert f"\n  {check}: {why}" in str(caught.value), "the message lists every failure"
    return caught.value.report


@pytest.mark.parametrize("name", FAULTS)
def test_the_check_of_a_planted_fault_finds_it(name):
    check, cls = FAULTS[name]
    with pytest.raises(Exception, match=r".") as caught:
        testing.Check(check, subject_of(cls))()
    assert not isinstance(caught.value, NameError | SyntaxError)


@pytest.mark.parametrize("name", COMMON)
def test_check_method_finds_a_planted_fault(name):
    assert COMMON[name] in failed(FAULTS[name][1]).failed


@pytest.mark.parametrize("cls", [Sound, Unfoldable, Ungrouped])
def test_a_sound_method_passes_and_its_refusals_are_reported(cls):
    before = torch.get_rng_state()
    report = testing.check_method(cls, **({"copies": 2} if cls is Sound else {}))
    assert report.passed == tuple(testing.CHECKS)
    assert report.failed == {}
    assert all(why == "no groups" for why in report.refused.values())
    assert bool(report.refused) == (cls is Ungrouped)
    assert torch.equal(before, torch.get_rng_state()), "the caller's random numbers are left alone"


def test_a_failed_check_says_where_and_what():
    found = failed(FAULTS["ignored stride"][1]).failed["outputs"]
    assert "stride=2" in found
    assert "the output has shape (2, 10, 27, 25), not (2, 10, 14, 13)" in found


def test_a_method_is_a_class_a_variant_or_a_name():
    names = [subject_of(m).name for m in (Sound, "wconv", "LRr", Variant(layer="lowrank", options={"rank": 3}))]
    assert names[:2] == ["Sound()", "WConv2d()"]
    assert "rank=10" in names[2]
    assert names[3] == "LowRankConv2d(rank=3)"
    with pytest.raises(ValueError, match="unknown method or variant 'lowrnk'; did you mean 'lowrank'"):
        testing.check_method("lowrnk")
    with pytest.raises(ValueError, match="the plain convolution is no method"):
        testing.check_method("conv")
    with pytest.raises(TypeError, match="WConv2d has no option 'rank'"):
        testing.check_method("wconv", rank=3)


def test_the_kit_needs_no_pytest():
    code = "import sys; sys.modules['pytest'] = None; import linconv.testing"
    subprocess.run([sys.executable, "-c", code], check=True)


@testing.parametrize("wconv")
def test_as_tests_of_their_own(check):
    check()
    assert str(check).startswith("WConv2d()-")
