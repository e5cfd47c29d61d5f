"""Models that cannot be saved and files that cannot be read: one line each, and nothing is left behind."""

from __future__ import annotations

import json
import sys

import pytest
import torch
from torch import nn

from linconv import convert
from linconv.config.errors import UserError
from linconv.deploy import MissingPackageError, ModelFileError, load, save

safetensors = pytest.importorskip("safetensors.torch")
safetensors_errors = pytest.importorskip("safetensors")


def test_hooks_come_from_the_given_model_and_those_of_layers_are_refused(tmp_path, caplog):
    def hooked():
        model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.utils.weight_norm(nn.Conv2d(4, 4, 1)))
        model[1].register_forward_hook(lambda *given: 2 * given[-1])
        return model

    model, x = convert(hooked(), "L").eval(), torch.randn(1, 1, 5, 5)
    save(model, tmp_path / "m.safetensors")
    assert "save: the hooks of 1 and of 1 more are not in the file" in caplog.text
    with pytest.raises(ModelFileError, match=r"1: has hooks, which a file does not hold; give linconv\.load"):
        load(tmp_path / "m.safetensors")
    assert torch.equal(load(tmp_path / "m.safetensors", hooked())(x), model(x))
    model[0].register_forward_hook(lambda *_: None)
    with pytest.raises(ValueError, match="0 has hooks, which a file does not hold; remove them before saving"):
        save(model, tmp_path / "m.safetensors")


def test_a_model_without_values_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"0\.weight is on the meta device and has no values"):
        save(nn.Sequential(nn.Conv2d(1, 1, 1, device="meta")), tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    ("given", "path", "message"),
    [
        (nn.ReLU(), "no/m.safetensors", r"m\.safetensors: there is no folder .*no; make it first"),
        (nn.ReLU(), "there.safetensors", r"there\.safetensors: a folder has this name; name a file"),
        (
            nn.ReLU(),
            "model.pt",
            r"model\.pt: save writes safetensors: name a file model\.safetensors, or a folder model$",
        ),
        (nn.ReLU(), "model.bin", "save writes safetensors"),
        (nn.ReLU(), "file", "file: cannot be written: File exists"),
        (nn.ReLU(), "file/m", "m: cannot be written: Not a directory"),
        (nn.ReLU().state_dict(), "m.safetensors", r"not an OrderedDict; load these tensors into their model first"),
        (b"", "m.safetensors", "model must be an nn.Module, not a bytes; make the model first"),
    ],
)
def test_what_cannot_be_saved_is_refused_in_one_line_and_leaves_nothing(tmp_path, given, path, message):
    (tmp_path / "there.safetensors").mkdir()
    (tmp_path / "file").write_text("x")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=message) as refused:
        save(given, tmp_path / path)
    assert "\n" not in str(refused.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    def full(*_, **__):
        raise safetensors_errors.SafetensorError("Error while serializing: I/O error: No space left on device")

    monkeypatch.setattr(safetensors, "save_file", full)
    with pytest.raises(UserError, match=r"m\.safetensors: cannot be written: .*No space left on device"):
        save(nn.Conv2d(1, 1, 1), tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"trust": "timm"}, r"trust: a list of packages is expected, such as \['timm'\], not 'timm'"),
        ({"model": nn.ReLU().state_dict()}, "model must be an nn.Module, not an OrderedDict"),
        ({"model": lambda: nn.ReLU().state_dict()}, "model must be an nn.Module, not an OrderedDict"),
    ],
)
def test_wrong_arguments_of_load_are_refused_by_name(tmp_path, given, message):
    path = save(nn.ReLU(), tmp_path / "m.safetensors")
    with pytest.raises(TypeError, match=message):
        load(path, **given)


def rewritten(tmp_path, change):
    """A saved folder whose description was changed."""
    path = save(nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU()), tmp_path / "m")
    raw = json.loads((path / "config.json").read_text())
    change(raw)
    (path / "config.json").write_text(json.dumps(raw))
    return path


BAD = {
    "newer": (lambda r: r.update(format_version=2, linconv="9.1"), r"written by a newer linconv \(9\.1, format 2; .*"),
    "foreign": (lambda r: r.update(format="timm"), "not written by linconv.save"),
    "version": (lambda r: r.update(format_version="x"), "format_version"),
    "key": (lambda r: r.update(more=1), "more: Extra inputs"),
    "no modules": (lambda r: r.pop("modules"), "modules: Field required"),
    "no root": (lambda r: r["modules"].pop(""), "the model: it is not described"),
    "no child": (lambda r: r["modules"].pop("1"), "1: it is not described"),
    "circle": (lambda r: r["modules"][""]["children"].update({"0": ""}), "the model: it contains itself"),
    "tensor": (lambda r: r["modules"]["0"]["parameters"]["weight"].update(tensor="x"), "0: its tensor 'x' is not in"),
    "class": (lambda r: r["modules"]["1"].update({"class": "torch.nn.modules:nothing"}), "1: .*is no class of modules"),
    "module": (lambda r: r["modules"]["1"].update({"class": "torch.nn.modules.no:R"}), "1: .*cannot be imported"),
    "function as class": (lambda r: r["modules"]["1"].update({"class": "torch.nn.modules.utils:_pair"}), "is no class"),
    "os": (lambda r: r["modules"]["1"].update({"class": "os:system"}), "give linconv.load a plain model, or trust"),
    "graph": (lambda r: r["modules"]["1"].update({"class": "torch.fx.graph:Graph"}), "not one of linconv's"),
    "load": (lambda r: r["modules"]["1"]["attributes"].update(f={"function": "torch:load"}), "1: unknown value"),
    "system": (lambda r: r["modules"]["1"]["attributes"].update(f={"function": "os:system"}), "1: unknown value"),
    "other class": (lambda r: r["modules"]["1"]["attributes"].update(f={"class": "os:PathLike"}), "not trusted"),
    "hooks": (lambda r: r["modules"]["1"]["attributes"].update(_forward_hooks=1), "'_forward_hooks' is no attribute"),
    "value": (lambda r: r["modules"]["1"]["attributes"].update(f={"tuple": 3}), "1: unknown value"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_descriptions_are_refused_in_one_line(tmp_path, kind):
    change, message = BAD[kind]
    path = rewritten(tmp_path, change)
    with pytest.raises(ModelFileError, match=message) as refused:
        load(path)
    assert "\n" not in str(refused.value)


def test_other_files_are_refused_in_one_line(tmp_path):
    with pytest.raises(ModelFileError, match="no such file"):
        load(tmp_path / "none.safetensors")
    foreign = tmp_path / "foreign.safetensors"
    safetensors.save_file({"a": torch.zeros(2)}, foreign)
    with pytest.raises(ModelFileError, match=r"not written by linconv\.save: it has no description"):
        load(foreign)
    whole = save(nn.Sequential(nn.Conv2d(1, 2, 1)), tmp_path / "m.safetensors").read_bytes()
    for length in range(0, len(whole), 37):
        (tmp_path / "cut.safetensors").write_bytes(whole[:length])
        with pytest.raises(ModelFileError, match="no safetensors file, or a damaged one") as refused:
            load(tmp_path / "cut.safetensors")
        assert "\n" not in str(refused.value)
    folder = save(nn.ReLU(), tmp_path / "folder")
    (folder / "config.json").write_bytes(b"\xff{")
    with pytest.raises(ModelFileError, match="no text in UTF-8"):
        load(folder)
    (folder / "config.json").write_text("[" * 100_000)
    with pytest.raises(ModelFileError, match="is no JSON"):
        load(folder)


@pytest.mark.parametrize("act", [lambda path: save(nn.ReLU(), path), load])
def test_a_missing_package_is_one_plain_line(tmp_path, monkeypatch, act):
    for name in ("safetensors", "safetensors.torch"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingPackageError, match=r"needs the package 'safetensors': pip install 'linconv\[deploy\]'"):
        act(tmp_path / "m.safetensors")
