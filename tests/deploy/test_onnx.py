"""One call exports a model, and the file gives the model's outputs in every engine; a wrong file is noticed."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest
import torch
from torch import nn

import linconv
from linconv.config.errors import UserError
from linconv.deploy import (
    ENGINES,
    ExportError,
    MissingPackageError,
    deviation,
    export_onnx,
    onnx,
    open_model,
    quantize_onnx,
)

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


@pytest.fixture(scope="module")
def network():
    """`base` with statistics that batch normalization did not start with, and a batch."""
    torch.manual_seed(0)
    model, x = linconv.build_model("base", "Lr"), torch.randn(2, 3, 32, 32)
    model(3 * x + 1)
    return model, x


@pytest.mark.parametrize("form", ["folded", "feature", "product"])
@pytest.mark.parametrize("engine", ENGINES)
def test_every_form_gives_the_models_outputs_in_every_engine(tmp_path, network, form, engine):
    pytest.importorskip(engine)
    model, x = network
    path = export_onnx(linconv.optimize(model, x, forms=(form,)), x, tmp_path / "m.onnx")
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"]
    with torch.no_grad():
        expected = model.eval()(x).numpy()
    assert deviation(open_model(path, engine, threads=1)(x.numpy()), expected) < 1e-5


def test_a_model_in_training_is_exported_as_in_evaluation_and_left_alone(tmp_path, network):
    model, x = network
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    path = export_onnx(model, x[:1], tmp_path / "m.onnx", dynamic_batch=True)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    run = open_model(path, "onnxruntime", threads=1)
    for n in (1, 2, 5):
        images = torch.randn(n, 3, 32, 32)
        with torch.no_grad():
            expected = linconv.fold(model).eval()(images).numpy()
        assert deviation(run(images.numpy()), expected) < 1e-5


def test_a_file_with_other_outputs_is_an_error(tmp_path, network, monkeypatch):
    model, x = network

    def wrong(path, engine, threads):
        run = open_model(path, engine, threads=threads)
        return lambda images: run(images) + 1

    monkeypatch.setattr(onnx, "open_model", wrong)
    with pytest.raises(ExportError, match=r"m\.onnx: onnxruntime gives other outputs than the model: they differ by"):
        export_onnx(model, x, tmp_path / "m.onnx")
    assert export_onnx(model, x, tmp_path / "m.onnx", check=False).exists()


def test_int8_takes_a_quarter_of_the_space_and_stays_near(tmp_path, network):
    model, x = network
    images = torch.randn(64, 3, 32, 32)
    fp32 = export_onnx(linconv.optimize(model, x, forms=("product",)), x, tmp_path / "fp32.onnx")
    int8 = quantize_onnx(fp32, images.split(2), tmp_path / "int8.onnx")
    assert int8.stat().st_size < 0.35 * fp32.stat().st_size
    with torch.no_grad():
        expected = model.eval()(x).numpy()
    for engine in ENGINES:
        if engine in sys.modules or engine == "onnxruntime":
            assert deviation(open_model(int8, engine, threads=1)(x.numpy()), expected) < 0.15
    with pytest.raises(ValueError, match="at least one batch of images is needed"):
        quantize_onnx(fp32, [], tmp_path / "x.onnx")


@pytest.fixture(scope="module")
def two_images(tmp_path_factory):
    """A file that takes two images of 3x8x8."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3))
    return export_onnx(model, torch.randn(2, 3, 8, 8), tmp_path_factory.mktemp("two") / "m.onnx")


def test_calibration_takes_batches_of_any_number_of_images(tmp_path, two_images):
    images = torch.randn(6, 3, 8, 8)
    fitting, others = (tmp_path / "fitting.onnx", tmp_path / "others.onnx")
    quantize_onnx(two_images, images.split(2), fitting)
    quantize_onnx(two_images, [images[:5], images[5:]], others)
    first, second = (open_model(file, "onnxruntime", threads=1)(images[:2].numpy()) for file in (fitting, others))
    assert np.array_equal(first, second)  # activations have the same ranges
    quantize_onnx(two_images, images, others)
    assert np.array_equal(first, open_model(others, "onnxruntime", threads=1)(images[:2].numpy()))
    with pytest.raises(ValueError, match=r"images of float32 are expected, not torch\.float64"):
        quantize_onnx(two_images, [images.double()], tmp_path / "x.onnx")
    with pytest.raises(ValueError, match="at least one batch of images is needed"):
        quantize_onnx(two_images, [images[:1]], tmp_path / "x.onnx")
    with pytest.raises(ValueError, match=r"images of shape \(2, 3, 4, 8\), and the file takes \(2, 3, 8, 8\)"):
        quantize_onnx(two_images, [images[:2, :, :4]], tmp_path / "x.onnx")
    with pytest.raises(TypeError, match="tensors of images are expected, not tuple"):
        quantize_onnx(two_images, [(images[:2], torch.zeros(2))], tmp_path / "x.onnx")
    (tmp_path / "no.onnx").write_text("no onnx")
    with pytest.raises(UserError, match=r"no\.onnx: no ONNX file with one input: ") as refused:
        quantize_onnx(tmp_path / "no.onnx", images.split(2), tmp_path / "x.onnx")
    assert "\n" not in str(refused.value)


class Joined(nn.Module):
    """Two feature maps of one scale in int8: the second one, a hundredth of the first, is lost."""

    def __init__(self, factor):
        super().__init__()
        self.conv, self.factor = nn.Conv2d(3, 4, 1), factor

    def forward(self, x):
        y = self.conv(x)
        return torch.cat([y, y / self.factor], 1)[:, 4:] * self.factor


@pytest.mark.parametrize("factor", [1, 1000])
def test_outputs_that_int8_destroys_are_a_warning(tmp_path, caplog, factor):
    torch.manual_seed(0)
    images = torch.randn(4, 3, 8, 8)
    file = export_onnx(Joined(factor), images[:2], tmp_path / "m.onnx")
    quantize_onnx(file, images, tmp_path / "q.onnx")
    said = [record.getMessage() for record in caplog.records if record.name == "linconv"]
    assert len(said) == (factor > 1)
    assert all(re.search(r"q\.onnx gives other outputs than .*m\.onnx, by \d+ % .* measure", line) for line in said)


@pytest.mark.parametrize("engine", ENGINES)
def test_images_that_a_file_does_not_take_are_one_line(two_images, engine):
    pytest.importorskip(engine)
    run = open_model(two_images, engine, threads=1)
    for images in (np.zeros((3, 3, 8, 8), np.float32), np.zeros((2, 1, 8, 8), np.float32)):
        says = re.escape(
            f"takes float32 images of shape (2, 3, 8, 8), and does not run on float32 of shape {images.shape}"
        )
        with pytest.raises(UserError, match=says) as refused:
            run(images)
        assert "\n" not in str(refused.value)


def test_deviation_is_a_share_of_the_largest_value():
    assert deviation(np.array([1.0, -3.5]), np.array([1.0, -4.0])) == 0.125
    assert deviation(np.zeros(0), np.zeros(0)) == 0
    assert not deviation(np.array([np.nan]), np.ones(1)) <= 1


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime", "openvino"])
def test_a_missing_package_is_one_plain_line(tmp_path, monkeypatch, network, package):
    for name in [package, *(name for name in sys.modules if name.startswith(f"{package}."))]:
        monkeypatch.setitem(sys.modules, name, None)
    file, layer, x = tmp_path / "m.onnx", nn.Conv2d(1, 1, 1), torch.zeros(1, 1, 2, 2)
    use = {"openvino": lambda: open_model(file, package, threads=1)}.get(package, lambda: export_onnx(layer, x, file))
    with pytest.raises(MissingPackageError, match=rf"needs the package '{package}': pip install 'linconv\[deploy\]'"):
        use()


def test_an_unknown_engine_is_named(tmp_path):
    with pytest.raises(ValueError, match="unknown engine 'tensorrt'; known: onnxruntime, openvino"):
        open_model(tmp_path / "m.onnx", "tensorrt", threads=1)


class Gives(nn.Module):
    """A model whose output is made of that of a convolution."""

    def __init__(self, make):
        super().__init__()
        self.conv, self.make = nn.Conv2d(3, 4, 1), make

    def forward(self, x):
        return self.make(self.conv(x))


@pytest.mark.parametrize(
    ("model", "sample", "message"),
    [
        (Gives(lambda y: {"out": y}), {}, "a model that returns one tensor, not a dict; wrap it"),
        (Gives(lambda y: (y, y)), {}, "a model that returns one tensor, not a tuple; wrap it"),
        (Gives(lambda y: y[: int(y.sum() > 0) + 1] * 2), {}, r"torch\.onnx\.export cannot export the model: \w+: "),
        (
            Gives(lambda y: y).double(),
            {"dtype": torch.float64},
            r"onnxruntime cannot run it .* export model\.float\(\)",
        ),
        (
            Gives(lambda y: y).bfloat16(),
            {"dtype": torch.bfloat16},
            r"onnxruntime cannot run it .* export model\.float\(\)",
        ),
        (Gives(lambda y: y).double(), {}, r"not run on the sample, torch\.float32 of shape \(2, 3, 4, 4\): Runtime"),
        (nn.Conv2d(4, 4, 1), {}, "the model does not run on the sample, .* RuntimeError: .* to have 4 channels"),
        (nn.Conv2d(3, 4, 1, device="meta"), {}, "weight is on the meta device and has no values; give"),
        (nn.Conv2d(3, 4, 1).state_dict(), {}, "model must be an nn.Module, not an OrderedDict"),
    ],
)
def test_what_cannot_be_exported_is_refused_in_one_line(tmp_path, model, sample, message):
    with pytest.raises(UserError, match=message) as refused:
        export_onnx(model, torch.ones(2, 3, 4, 4, **sample), tmp_path / "m.onnx")
    assert "\n" not in str(refused.value)


def test_files_that_are_not_there_or_cannot_be_are_one_line(tmp_path):
    layer, x = nn.Conv2d(3, 4, 1), torch.ones(2, 3, 4, 4)
    with pytest.raises(TypeError, match="sample_input must be a tensor, not tuple"):
        export_onnx(layer, (3, 4, 4), tmp_path / "m.onnx")
    with pytest.raises(UserError, match=r"m\.onnx: there is no folder .*no; make it first"):
        export_onnx(layer, x, tmp_path / "no" / "m.onnx")
    with pytest.raises(UserError, match="a folder has this name; name a file"):
        export_onnx(layer, x, tmp_path)
    (tmp_path / "m.onnx").write_text("no onnx")
    for engine in ENGINES:
        pytest.importorskip(engine)
        with pytest.raises(UserError, match=r"no\.onnx: no such file"):
            open_model(tmp_path / "no.onnx", engine, threads=1)
        with pytest.raises(UserError, match=rf"m\.onnx: {engine} cannot read the file: ") as refused:
            open_model(tmp_path / "m.onnx", engine, threads=1)
        assert "\n" not in str(refused.value)
    with pytest.raises(UserError, match=r"no\.onnx: no such file"):
        quantize_onnx(tmp_path / "no.onnx", [x], tmp_path / "q.onnx")
    with pytest.raises(UserError, match="there is no folder"):
        quantize_onnx(tmp_path / "m.onnx", [x], tmp_path / "no" / "q.onnx")


def test_a_model_of_torchscript_is_refused(tmp_path):
    x = torch.rand(1, 3, 8, 8)
    with pytest.raises(UserError, match="the model is a ScriptModule, whose code cannot change; export the model befo"):
        export_onnx(torch.jit.script(nn.Conv2d(3, 4, 3)), x, tmp_path / "m.onnx")
