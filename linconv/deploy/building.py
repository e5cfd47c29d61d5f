"""Building a model from the description of its modules, and from a given model where that has more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from linconv.deploy.description import STATE, Module, Stored, Undescribable, find, path_of, say, unsay
from linconv.deploy.reading import ModelFileError
from linconv.layers.replacing import replace_modules

# Modules of other packages are imported only where the reader trusts them: importing runs code.
TRUSTED = ("torch.nn.modules", "torchvision.models", "torchvision.ops", "linconv")


class Builder:
    """Makes modules from their descriptions, or takes them from a given model."""

    def __init__(
        self,
        path: Path,
        modules: Mapping[str, Module],
        tensors: Mapping[str, Tensor],
        skeleton: nn.Module | None,
        trusted: Sequence[str],
    ) -> None:
        self.path, self.described, self.tensors, self.trusted = path, modules, tensors, (*TRUSTED, *trusted)
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


def _says(value: Any, said: Any) -> bool:
    try:
        return bool(say(value) == said)
    except Undescribable:
        return False
