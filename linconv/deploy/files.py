"""Saving a model and loading it without the code that converted, pruned, folded or optimized it. No pickle."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from linconv.config.errors import UserError
from linconv.deploy.description import (
    FORMAT_VERSION,
    STATE,
    Description,
    Module,
    Stored,
    Undescribable,
    describe,
    find,
    path_of,
    say,
    unsay,
    warn_of_opaque,
)
from linconv.deploy.optional import needed
from linconv.deploy.paths import readable_by_others, writable, writing
from linconv.deploy.reading import DESCRIPTION, TENSORS, ModelFileError, read_file
from linconv.layers.copies import copied, unwrapped
from linconv.layers.images import check_values
from linconv.layers.options import several_names
from linconv.layers.replacing import check_module, replace_modules, without_wrapper
from linconv.results.provenance import versions

# Modules of other packages are imported only where the reader trusts them: importing runs code.
TRUSTED = ("torch.nn.modules", "torchvision.models", "torchvision.ops", "linconv")


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
    return _Builder(path, description.modules, tensors, skeleton, (*TRUSTED, *trusted)).model()


def _device(device: torch.device | str) -> str:
    try:
        return str(torch.device(device))
    except (RuntimeError, TypeError) as error:
        raise UserError(f"device: {next(iter(str(error).splitlines()), '')}") from None


def _says(value: Any, said: Any) -> bool:
    try:
        return bool(say(value) == said)
    except Undescribable:
        return False


class _Builder:
    """Makes modules from their descriptions, or takes them from a given model."""

    def __init__(
        self,
        path: Path,
        modules: Mapping[str, Module],
        tensors: Mapping[str, Tensor],
        skeleton: nn.Module | None,
        trusted: Sequence[str],
    ) -> None:
        self.path, self.described, self.tensors, self.trusted = path, modules, tensors, trusted
        self.skeleton = {} if skeleton is None else dict(skeleton.named_modules(remove_duplicate=False))
        self.built: dict[str, nn.Module | None] = {}
        self.placed: dict[str, Tensor] = {}
        self.renewed: dict[nn.Module | Tensor, nn.Module | Tensor] = {}  # what the given model has, by what it becomes
        self.kept: dict[nn.Module, str] = {}  # modules of the given model, with their names

    def model(self) -> nn.Module:
        """The whole model. Whatever attributes of the given one refer to is what the file has in its place."""
        return replace_modules(self.module(""), self.renewed)

    def module(self, name: str) -> nn.Module:
        """The module of a name, made once."""
        if name not in self.described:
            raise self.error(name, "it is not described")
        if name in self.built:
            found = self.built[name]
            if found is None:
                raise self.error(name, "it contains itself")
            return found
        self.built[name] = None
        said = self.described[name]
        children = {n: None if child is None else self.module(child) for n, child in said.children.items()}
        module = self._rebuilt(name, said) if self._describes(said) else self._taken(name, said)
        parameters = {n: self._parameter(name, s) for n, s in said.parameters.items()}
        buffers = {n: self._tensor(name, s) for n, s in said.buffers.items()}
        module = self._in_place(name, module, parameters | buffers)
        module.__dict__["_modules"] = children
        module._parameters = parameters
        module._buffers = buffers
        module._non_persistent_buffers_set = {n for n, s in said.buffers.items() if s is not None and s.transient}
        module.training = said.training
        self.built[name] = module
        return module

    def _in_place(self, name: str, module: nn.Module, tensors: Mapping[str, Tensor | None]) -> nn.Module:
        """The module, as the object that the given model has under its name where both are of one class."""
        given = self.skeleton.get(name)
        if given is None or given in self.kept:
            return module
        for n, old in (*given._parameters.items(), *given._buffers.items()):
            if old is not None and (new := tensors.get(n)) is not None:
                self.renewed[old] = new
        if type(given) is not type(module):
            self.renewed[given] = module
            return module
        self.kept[given] = name
        if given is not module:
            vars(given).clear()
            vars(given).update(vars(module))
        return given

    def error(self, name: str, what: str) -> ModelFileError:
        """An error about one module, in one line."""
        return ModelFileError(f"{self.path}: {name or 'the model'}: {what}")

    def _describes(self, said: Module) -> bool:
        return said.opaque is None and self._is_trusted(said.cls)

    def _is_trusted(self, path: str) -> bool:
        place = path.partition(":")[0]
        return any(place == package or place.startswith(f"{package}.") for package in self.trusted)

    def _rebuilt(self, name: str, said: Module) -> nn.Module:
        cls = self._class(name, said.cls)
        module: nn.Module = cls.__new__(cls)
        nn.Module.__init__(module)
        module.__setstate__({n: self._value(name, n, value) for n, value in said.attributes.items()})
        return module  # __setstate__ knows what older versions of a class did not have

    def _value(self, name: str, attribute: str, said: Any) -> Any:
        """The value of an attribute of a module."""
        if attribute in STATE:
            raise self.error(name, f"attribute '{attribute}' is no attribute of its own")
        try:
            return unsay(said, lambda path, base: self._class(name, path, base))
        except ModelFileError:
            raise
        except (ValueError, TypeError, RecursionError) as error:
            raise self.error(name, str(error)) from None

    def _class(self, name: str, path: str, base: type = nn.Module) -> Any:
        if not self._is_trusted(path):
            raise self.error(name, f"the class {path} is of a package that is not trusted; see `trust` of linconv.load")
        try:
            import_module(path.partition(":")[0])
        except ImportError as error:
            raise self.error(name, f"the class {path} cannot be imported: {error}") from None
        found = find(path)
        if not (isinstance(found, type) and issubclass(found, base)):
            raise self.error(name, f"{path} is no class of {'modules' if base is nn.Module else 'tuples'}")
        return found

    def _taken(self, name: str, said: Module) -> nn.Module:
        """The module of this name of the given model, which must be of the same class with the same children."""
        package = said.cls.partition(".")[0].partition(":")[0]
        if not self.skeleton:
            if said.opaque is not None:
                raise self.error(name, f"{said.opaque}; give linconv.load a plain model or a function that makes one")
            raise self.error(
                name,
                f"its class {said.cls} is not one of linconv's: give linconv.load a plain model, or "
                f"trust=({package!r},)",
            )
        module = self.skeleton.get(name)
        if module is None:
            raise self.error(name, "the given model has no such module")
        if module in self.kept:
            raise self.error(name, f"one module with '{self.kept[module]}' in the given model, two in the file")
        if path_of(type(module)) != said.cls:
            raise self.error(
                name,
                f"a {said.cls} in the file, a {path_of(type(module))} in the given model; trust=({package!r},) "
                "would import the file's",
            )
        for own, there in ((module._modules, said.children), (module._parameters, said.parameters)):
            if differ := sorted(own.keys() ^ there.keys()):
                raise self.error(name, f"'{differ[0]}' is not both in the file and in the given model")
        for n, value in said.attributes.items():
            if n not in vars(module) or not _says(vars(module)[n], value):
                vars(module)[n] = self._value(name, n, value)
        return module

    def _tensor(self, name: str, stored: Stored | None) -> Tensor | None:
        if stored is None:
            return None
        if stored.tensor not in self.tensors:
            raise self.error(name, f"its tensor '{stored.tensor}' is not in the file")
        tensor = self.tensors[stored.tensor]
        if stored.channels_last and tensor.dim() == 4:
            tensor = tensor.to(memory_format=torch.channels_last)
        return self.placed.setdefault(stored.tensor, tensor)

    def _parameter(self, name: str, stored: Stored | None) -> nn.Parameter | None:
        tensor = self._tensor(name, stored)
        if tensor is None or stored is None:
            return None
        if not isinstance(tensor, nn.Parameter):
            floating = tensor.is_floating_point() or tensor.is_complex()
            tensor = nn.Parameter(tensor, requires_grad=floating and not stored.frozen)
            self.placed[stored.tensor] = tensor
        return tensor
