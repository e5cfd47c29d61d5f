"""Saving a model and loading it without the code that converted, pruned, folded or optimized it. No pickle."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import nn

from linconv.config.errors import UserError
from linconv.deploy.building import Builder
from linconv.deploy.description import (
    FORMAT_VERSION,
    Description,
    describe,
    warn_of_opaque,
)
from linconv.deploy.optional import needed
from linconv.deploy.paths import readable_by_others, writable, writing
from linconv.deploy.reading import DESCRIPTION, TENSORS, read_file
from linconv.layers.copies import copied, unwrapped
from linconv.layers.images import check_values
from linconv.layers.options import several_names
from linconv.layers.replacing import check_module, without_wrapper
from linconv.results.provenance import versions


def save(model: nn.Module, path: Path | str) -> Path:
    """Write a model's tensors and its description: the class and the options of every module, and the chosen forms.

    Converted, pruned, folded and optimized models are saved as they are, with layout, dtype, frozen parameters and
    train/eval state. `load` rebuilds modules of torch, torchvision and linconv from the description alone. A module of
    any other class needs its class, or a model of the same classes: see `load`. A module that holds more than a file
    can, as those of torchvision's detection models do, or that has hooks, as those of Hugging Face have after a call,
    always needs such a model, and a WARNING says so. Another one names attributes with tensors that no module registers
    as a parameter or buffer: their values are not in the file.

    Args:
        model: any module; of one in DistributedDataParallel or torch.compile, the module inside is saved. Tensors in
            several places are stored once and shared again when loaded.
        path: a name that ends in ".safetensors", for one file that has the description in its header; a name without
            a suffix is a folder, made where it is missing, which gets "model.safetensors" and "config.json", the
            layout of model hubs.

    Returns:
        `path`.

    Raises:
        ValueError: a layer of linconv has hooks, or a tensor no values: it is lazy, or on the meta device.
        UserError: `model` is no module; or one of its modules is of TorchScript or FSDP, or has a wrapper on its own;
            or `path` cannot be written: its folder is missing, or it has the suffix of another kind of file, such as
            ".pt".
        MissingPackageError: safetensors is not installed.
    """
    safetensors = needed("safetensors.torch", "saving a model")
    check_module(model)
    model = without_wrapper(model, "save")
    check_values(model, "save")
    path = Path(path)
    single = path.suffix == ".safetensors"
    if single:
        writable(path)
    elif path.suffix[1:2].isalpha() and not path.is_dir():
        raise UserError(
            f"{path}: save writes safetensors: name a file {path.with_suffix('.safetensors').name}, or a folder "
            f"{path.with_suffix('').name}"
        )
    modules, tensors = describe(model)
    warn_of_opaque(path, modules)
    description = Description(
        format="linconv",
        format_version=FORMAT_VERSION,
        linconv=versions()["linconv"],
        torch=versions()["torch"],
        modules=modules,
    )
    text = description.model_dump_json(by_alias=True, exclude_defaults=True)
    stored = {name: t.detach().clone(memory_format=torch.contiguous_format) for name, t in tensors.items()}
    metadata = {"format": "pt"} | ({"linconv": text} if single else {})
    with writing(path):
        if not single:
            path.mkdir(parents=True, exist_ok=True)
            readable = json.dumps(json.loads(text), indent=1)
            (path / DESCRIPTION).write_text(readable + "\n", encoding="utf-8")
        try:
            with readable_by_others(path if single else path / TENSORS) as file:
                safetensors.save_file(stored, str(file), metadata=metadata)
        except needed("safetensors", "saving a model").SafetensorError as error:
            raise UserError(f"{path}: cannot be written: {error}") from None
    return path


def load(
    path: Path | str,
    model: nn.Module | Callable[[], nn.Module] | None = None,
    *,
    trust: Sequence[str] = (),
    device: torch.device | str = "cpu",
) -> nn.Module:
    """The model that `save` wrote, equal in every tensor.

    Modules of torch, torchvision and linconv are rebuilt from the description. Modules of other classes are taken
    from `model`: the plain network of the same classes, before any conversion, with any values and any options: of
    its attributes, those that the file holds become the file's. Without `model` their classes are imported from the
    packages that `trust` names.

    Args:
        path: the file, or the folder.
        model: a plain model, which is left as it is, or a function without arguments that makes one.
        trust: packages whose module classes may be imported, such as ("timm",). Importing a package runs its code.
        device: where the tensors go.

    Raises:
        ModelFileError: no such file; a foreign, damaged or newer one; a module that needs `model` or `trust`; or a
            `model` of other classes.
        TypeError: `model` is no module and makes none, or `trust` is no list of strings.
        MissingPackageError: safetensors is not installed.
    """
    path, device = Path(path), _device(device)
    trusted = several_names(trust, "trust: a list of packages", "timm")
    if model is not None and not callable(model):
        check_module(model)
    description, tensors = read_file(path, device)
    skeleton = copied(unwrapped(model)) if isinstance(model, nn.Module) else model() if model is not None else None
    if skeleton is not None:
        check_module(skeleton)
        skeleton = unwrapped(skeleton)
    return Builder(path, description.modules, tensors, skeleton, trusted).model()


def _device(device: torch.device | str) -> str:
    try:
        return str(torch.device(device))
    except (RuntimeError, TypeError) as error:
        raise UserError(f"device: {next(iter(str(error).splitlines()), '')}") from None
