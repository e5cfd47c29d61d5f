"""A saved model loads without the code that made it, equal in every tensor."""

from __future__ import annotations

import copy
import functools
import json
import os
import re
import threading
import types

import pytest
import torch
import torchvision
from torch import nn

import linconv
from linconv.catalogue.methods import METHODS
from linconv.config import Variant
from linconv.config.errors import UserError
from linconv.deploy import ModelFileError, load, save
from linconv.pruning import pruned_network

safetensors = pytest.importorskip("safetensors.torch")
safetensors_errors = pytest.importorskip("safetensors")


@pytest.fixture(scope="module")
def x():
    torch.manual_seed(0)
    return torch.randn(2, 3, 32, 32)


def _facts(tensor):
    return tensor.shape, tensor.dtype, tensor.stride(), tensor.requires_grad


def assert_same(found, expected, x):
    assert [(n, type(m)) for n, m in found.named_modules()] == [(n, type(m)) for n, m in expected.named_modules()]
    assert [m.training for m in found.modules()] == [m.training for m in expected.modules()]
    for kind in ("named_parameters", "named_buffers"):
        mine, theirs = (dict(getattr(model, kind)()) for model in (found, expected))
        assert {n: _facts(t) for n, t in mine.items()} == {n: _facts(t) for n, t in theirs.items()}
        assert all(torch.equal(tensor, theirs[name]) for name, tensor in mine.items())
    assert found.state_dict().keys() == expected.state_dict().keys()
    with torch.no_grad():
        torch.testing.assert_close(found.eval()(x), expected.eval()(x))  # where tensors lie in memory decides rounding


@pytest.mark.parametrize("name", ["m.safetensors", "folder"])
@pytest.mark.parametrize("method", [m for m in METHODS if m != "conv"])
def test_every_method_round_trips(tmp_path, x, method, name):
    torch.manual_seed(0)
    model = linconv.convert(linconv.build_model("base"), Variant(layer=method))
    path = save(model, tmp_path / name)
    assert_same(load(path), model, x)


def optimized(x):
    model = linconv.build_model("vgg11", "LRr").eval()
    return linconv.optimize(model, x, forms=("feature",))


MODELS = {
    "converted": lambda x: linconv.convert(torchvision.models.resnet18(num_classes=4), "LRr", mode="feature"),
    "sparse": lambda x: linconv.build_model("base", "LSr"),
    "folded": lambda x: linconv.fold(linconv.build_model("resnet18", "L")),
    "optimized": optimized,
    "pruned": lambda x: pruned_network(linconv.build_model("vgg11"), (3, 32, 32), 0.4),
    "channels_last": lambda x: linconv.build_model("base", "L").to(memory_format=torch.channels_last),
    "half": lambda x: linconv.build_model("base", "L").bfloat16(),
    "frozen": lambda x: linconv.build_model("resnet18", "L").requires_grad_(False),
    "mobilenet": lambda x: torchvision.models.mobilenet_v3_small(num_classes=4),
    "densenet": lambda x: torchvision.models.densenet121(num_classes=4),
}


@pytest.mark.parametrize("kind", MODELS)
def test_models_load_from_the_file_alone(tmp_path, x, kind):
    torch.manual_seed(0)
    model = MODELS[kind](x)
    x = x.to(next(model.parameters()).dtype)
    assert_same(load(save(model, tmp_path / "m.safetensors")), model, x)


class Own(nn.Module):
    """A class of a package that nobody trusts, with attributes that JSON cannot hold."""

    def __init__(self, act=torch.tanh):
        super().__init__()
        self.features = linconv.build_model("base").features
        self.head = nn.Linear(1024, 4)
        self.act = act

    def forward(self, x):
        return self.head(self.act(self.features(x)).flatten(1))


class Unspeakable(Own):
    def __init__(self):
        super().__init__(lambda x: x)


@pytest.mark.parametrize("cls", [Own, Unspeakable])
@pytest.mark.parametrize("given", ["model", "function"])
def test_a_model_of_ones_own_loads_into_its_plain_network(tmp_path, x, cls, given):
    torch.manual_seed(0)
    model = linconv.optimize(linconv.convert(cls(), "L").eval(), x)
    path = save(model, tmp_path / "m")
    plain = cls()
    before = copy.deepcopy(plain.state_dict())
    assert_same(load(path, plain if given == "model" else cls), model, x)
    assert all(torch.equal(value, before[name]) for name, value in plain.state_dict().items())


def test_a_trusted_class_needs_no_model(tmp_path, x):
    model = linconv.convert(Own(), "L")
    path = save(model, tmp_path / "m.safetensors")
    with pytest.raises(ModelFileError, match=r"m\.safetensors: the model: its class tests\.deploy.*trust=\('tests',\)"):
        load(path)
    assert_same(load(path, trust=("tests",)), model, x)


def test_what_no_file_can_say_needs_a_model_and_save_says_so(tmp_path, caplog):
    class Local(nn.Sequential):
        pass

    with pytest.raises(
        ModelFileError, match=r"its class .*Local cannot be imported by name; give linconv\.load a plain"
    ):
        load(save(Local(nn.ReLU()), tmp_path / "a.safetensors"), trust=("tests",))
    with pytest.raises(ModelFileError, match="its attribute 'act' holds a function; give"):
        load(save(Unspeakable(), tmp_path / "b.safetensors"), trust=("tests",))
    first, second = (record.getMessage() for record in caplog.records)
    assert re.search(
        r"a\.safetensors loads with its plain model alone, .* 1 of its modules \(the model\): its class", first
    )
    assert re.search(r"b\.safetensors loads .*: its attribute 'act' holds a function$", second)
    caplog.clear()
    save(Own(), tmp_path / "c.safetensors")
    assert not caplog.records


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (nn.ReLU(), r"a tests\..*:Own in the file, a torch\.nn.*:ReLU in the given model; trust=\('tests',\)"),
        (Unspeakable(), r":Own in the file, a .*:Unspeakable in the given model"),
    ],
)
def test_another_model_does_not_fit(tmp_path, given, message):
    path = save(Own(), tmp_path / "m.safetensors")
    with pytest.raises(ModelFileError, match=message):
        load(path, given)
    other = Own()
    other.extra = nn.ReLU()
    with pytest.raises(ModelFileError, match="'extra' is not both in the file and in the given model"):
        load(path, other)


def test_shared_modules_and_tied_tensors_stay_shared(tmp_path):
    class_ = nn.Sequential
    shared = nn.Conv2d(4, 4, 1)
    model = class_(shared, nn.ReLU(), shared, nn.Conv2d(4, 4, 1))
    model[3].weight = shared.weight
    found = load(save(model, tmp_path / "m.safetensors"))
    assert found[0] is found[2]
    assert found[3].weight is found[0].weight
    assert found[3].bias is not found[0].bias
    assert torch.equal(found[3].weight, shared.weight)


def test_buffers_that_are_not_in_the_state_dictionary_come_along(tmp_path):
    model = nn.Sequential(nn.ReLU())
    model[0].register_buffer("seen", torch.arange(3), persistent=False)
    model[0].register_buffer("none", None)
    found = load(save(model, tmp_path / "m.safetensors"))
    assert torch.equal(found[0].seen, torch.arange(3))
    assert found[0].none is None
    assert not found.state_dict()


def test_the_folder_has_the_layout_of_model_hubs(tmp_path):
    model = linconv.build_model("base", "Lr")
    path = save(model, tmp_path / "new" / "folder")
    assert sorted(p.name for p in path.iterdir()) == ["config.json", "model.safetensors"]
    tensors = safetensors.load_file(path / "model.safetensors")
    assert tensors.keys() == model.state_dict().keys()
    config = json.loads((path / "config.json").read_text())
    layer = config["modules"]["features.conv2"]
    assert layer["class"] == "linconv.layers.linear_conv:LinearConv2d"
    assert (layer["attributes"]["primary_ratio"], layer["attributes"]["_mode"]) == (0.5, "auto")


def test_a_folder_with_a_point_in_its_name_is_a_folder(tmp_path):
    (tmp_path / "old.model").mkdir()
    for name in ("v1.0", "old.model"):
        assert type(load(save(nn.ReLU(), tmp_path / name))) is nn.ReLU


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_files_have_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / "new").touch()
    save(nn.Conv2d(3, 4, 1), tmp_path / "m.safetensors")
    save(nn.Conv2d(3, 4, 1), tmp_path / "folder")
    made = tmp_path / "m.safetensors", tmp_path / "folder" / "model.safetensors", tmp_path / "folder" / "config.json"
    assert {path.stat().st_mode for path in made} == {(tmp_path / "new").stat().st_mode}
    made[0].chmod(0o640)
    save(nn.Conv2d(3, 4, 1), made[0])
    assert made[0].stat().st_mode & 0o777 == 0o640


class Stages(nn.Module):
    """A model that refers to its convolutions, and to the filters of one, a second time."""

    def __init__(self, kind):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.last = nn.Conv2d(8, 8, 1, bias=False)
        self.kind, self.filters = kind, {"last": [self.last.weight]}
        if kind == "list":
            self.stages = [self.a, self.b]
        elif kind == "methods":
            self.stages = [self.a.forward, functools.partial(self.b.forward)]
        else:
            self.stages = types.SimpleNamespace(a=self.a, b=self.b)

    def forward(self, x):
        for stage in vars(self.stages).values() if self.kind == "object" else self.stages:
            x = stage(x).relu()
        return nn.functional.conv2d(self.last(x), self.filters["last"][0])


@pytest.mark.parametrize("given", ["model", "function"])
@pytest.mark.parametrize(
    ("kind", "converted"), [("list", False), ("list", True), ("methods", False), ("object", False)]
)
def test_second_references_of_the_given_model_are_to_what_the_file_has(tmp_path, x, kind, converted, given):
    torch.manual_seed(0)
    model = Stages(kind)
    if converted:
        linconv.convert(model, "L", include=["a", "b"])
    path = save(model, tmp_path / "m.safetensors")
    plain = Stages(kind)
    before = plain(x)
    found = load(path, plain if given == "model" else lambda: Stages(kind))
    assert_same(found, model, x)
    assert found.filters["last"][0] is found.last.weight
    assert torch.equal(plain(x), before)


def test_a_recurrent_network_keeps_its_weights_in_a_list(tmp_path):
    torch.manual_seed(0)
    model, x = nn.LSTM(4, 5), torch.rand(3, 2, 4)
    found = load(save(model, tmp_path / "m.safetensors"), nn.LSTM(4, 5))
    assert found._flat_weights[0] is found.weight_ih_l0
    assert torch.equal(found(x)[0], model(x)[0])


def test_one_given_module_cannot_be_two_of_the_file(tmp_path):
    def model(tie):
        made = nn.Sequential(Own(), Own())
        made[1] = made[0] if tie else made[1]
        return made

    path = save(model(tie=False), tmp_path / "m.safetensors")
    with pytest.raises(ModelFileError, match="1: one module with '0' in the given model, two in the file"):
        load(path, model(tie=True))


class Scaled(nn.Module):
    """A model with options, which its outputs depend on, and with a state that its class keeps itself."""

    def __init__(self, scale=1.0, act=None):
        super().__init__()
        self.conv, self.scale, self.sizes, self.seen, self.act = nn.Conv2d(3, 3, 1), scale, [1], 0, act

    def forward(self, x):
        x = self.conv(x) * self.scale * self.sizes[0]
        return x if self.act is None else self.act(x)

    def get_extra_state(self):
        return self.seen

    def set_extra_state(self, state):
        self.seen = state


@pytest.mark.parametrize("act", [None, lambda x: x.relu()])  # a function makes the module opaque
def test_the_attributes_of_the_file_are_those_of_the_loaded_model(tmp_path, x, act):
    model, plain = Scaled(5.0, act), Scaled(act=act)
    model.sizes, model.seen = [3], 7
    found = load(save(linconv.convert(model, "L"), tmp_path / "m.safetensors"), plain)
    assert_same(found, model, x)
    assert (found.scale, found.sizes, found.get_extra_state()) == (5.0, [3], 7)
    assert (plain.scale, plain.sizes, plain.seen) == (1.0, [1], 0)


@pytest.mark.parametrize("held", ["parameter", "tensor", "module", "state"])
def test_save_names_values_that_are_not_in_the_file(tmp_path, caplog, held):
    model = Scaled()
    model.sizes = {"own": [model.conv.weight, model.conv]}  # these are
    save(model, tmp_path / "a.safetensors")
    assert not any("not in the file" in record.getMessage() for record in caplog.records)
    caplog.clear()
    model.act = {
        "parameter": [nn.Parameter(torch.ones(1))],
        "tensor": torch.ones(1),
        "module": {"hidden": nn.Linear(1, 1)},
        "state": threading.Lock(),
    }[held]
    save(model, tmp_path / "b.safetensors")
    message = "save: the model: its attribute 'act' holds values that are not in the file; loaded, it has those of the"
    assert caplog.records[0].getMessage().startswith(message)


def test_a_wrapped_model_is_saved_as_the_one_inside(tmp_path, x):
    model = nn.Sequential(linconv.LinearConv2d(3, 4, 3), nn.ReLU())
    for wrapper in (nn.DataParallel, torch.compile):
        assert_same(load(save(wrapper(model), tmp_path / "m.safetensors")), model, x)
        own = Scaled(2.0).eval()
        assert_same(load(save(own, tmp_path / "m.safetensors"), wrapper(Scaled())), own, x)
        assert_same(load(tmp_path / "m.safetensors", functools.partial(wrapper, Scaled())), own, x)
    compiled = copy.deepcopy(model)
    compiled.compile()
    assert_same(load(save(compiled, tmp_path / "m.safetensors")), model, x)


@pytest.mark.parametrize(
    ("wrapper", "message"),
    [
        (torch.jit.script, "1 is a ScriptModule, whose code cannot change; save the model before torch.jit.script"),
        (torch.compile, "1 is compiled by torch.compile, which keeps the old code; save the model before"),
    ],
)
def test_parts_with_a_wrapper_of_their_own_are_refused(tmp_path, wrapper, message):
    with pytest.raises(UserError, match=message):
        save(nn.Sequential(nn.ReLU(), wrapper(nn.Conv2d(3, 4, 3))), tmp_path / "m.safetensors")
    assert not list(tmp_path.iterdir())
