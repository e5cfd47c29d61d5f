"""What every tool says of a model that has no values, takes several inputs or does not run on what it is given."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import linconv
from linconv.config.errors import UserError
from linconv.layers.images import image_of
from linconv.pruning import pruned_network

IMAGES, CLASSES = torch.randn(2, 3, 8, 8), torch.zeros(2, dtype=torch.long)


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.Flatten(), nn.Linear(512, 4))


def lazy() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 16, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(4))


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 16, 3), nn.Linear(16, 4)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.fc((self.conv(x) + self.conv(y)).mean((2, 3)))


# what runs a model, and needs its values
TIMES = {
    "optimize": lambda model, path: linconv.optimize(model, IMAGES),
    "plan": lambda model, path: linconv.plan(model, (3, 8, 8), latency=0.5),
    "sensitivity": lambda model, path: linconv.sensitivity(model, F.cross_entropy, [(IMAGES, CLASSES)]),
    "save": lambda model, path: linconv.save(model, path / "model.safetensors"),
    "export_onnx": lambda model, path: linconv.export_onnx(model, IMAGES, path / "model.onnx"),
}
# what looks at shapes alone
COUNTS = {
    "complexity": lambda model, path: linconv.complexity(model, (3, 8, 8)),
    "plan": lambda model, path: linconv.plan(model, (3, 8, 8), params=0.9),
    "pruning": lambda model, path: pruned_network(model, (3, 8, 8), 0.8, exclude=["*"]),
}


@pytest.mark.parametrize("tool", TIMES)
def test_what_needs_values_refuses_the_meta_device(tool, tmp_path):
    with pytest.raises(UserError, match=rf"^{tool}: 0\.weight is on the meta device and has no values; give the model"):
        TIMES[tool](network().to("meta"), tmp_path)


@pytest.mark.parametrize(("tool", "use"), [*TIMES.items(), *COUNTS.items()])
def test_every_tool_refuses_a_lazy_model(tool, use, tmp_path):
    with pytest.raises(UserError, match=rf"^{tool}: 1\.weight is lazy and has no shape yet; pass a batch through"):
        use(lazy(), tmp_path)


def test_what_counts_takes_the_meta_device():
    model = network().to("meta")
    assert linconv.complexity(model, (3, 8, 8)).params == linconv.complexity(network(), (3, 8, 8)).params
    assert linconv.plan(model, (3, 8, 8), params=0.95).reached <= 0.95


def test_a_lazy_model_is_converted_in_a_copy():
    copy = linconv.convert(lazy(), "L", inplace=False)
    assert copy.eval()(IMAGES).shape == (2, 4)


@pytest.mark.parametrize(
    "use",
    [
        COUNTS["complexity"],
        COUNTS["plan"],
        lambda model, path: pruned_network(model, (3, 8, 8), 0.8, exclude=["fc"]),
        TIMES["optimize"],
        TIMES["sensitivity"],
        TIMES["export_onnx"],
    ],
)
def test_a_model_of_two_inputs_is_to_be_wrapped(use, tmp_path):
    with pytest.raises(
        UserError, match=r"the model does not run on .*8, 8\): TypeError: .* argument: 'y'; wrap it in a module"
    ):
        use(TwoInputs(), tmp_path)


def test_several_samples_are_no_sample():
    with pytest.raises(TypeError, match=r"must be a tensor, not tuple; a model of several inputs: wrap it in a module"):
        linconv.optimize(TwoInputs(), (IMAGES, IMAGES))


@pytest.mark.parametrize("sample", [torch.randn(2, 4, 8, 8), IMAGES.double()])
def test_optimize_says_what_the_model_does_not_run_on(sample):
    with pytest.raises(UserError, match=rf"^the model does not run on the sample, {sample.dtype} of shape .*: Runtime"):
        linconv.optimize(linconv.convert(network(), "L", init="paper"), sample)


def test_images_have_the_dtype_of_the_network():
    assert image_of(network().half(), (3, 8, 8)).dtype == torch.float16
    assert image_of(nn.Conv2d(3, 4, 3, dtype=torch.complex64), (3, 8, 8)).dtype == torch.complex64
    assert image_of(nn.Flatten(), (3, 8, 8)).dtype == torch.float32
    assert image_of(nn.Flatten(), (3, 9, 9), "meta").shape == (1, 3, 9, 9)


def test_a_lazy_model_is_folded_as_it_is():
    folded = linconv.fold(nn.Sequential(nn.LazyConv2d(3, 3), lazy()))
    assert folded(IMAGES).shape == (2, 4)


def test_complex_networks_are_counted():
    model = nn.Sequential(nn.Conv2d(3, 8, 3, dtype=torch.complex64), nn.Conv2d(8, 4, 1, dtype=torch.complex64))
    with pytest.warns(UserWarning, match="17,856 of the 26,784 MACs"):  # torch makes three real products of each
        assert linconv.complexity(model, (3, 8, 8)).macs_folded == 36 * (8 * 27 + 4 * 8)
