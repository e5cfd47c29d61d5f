"""Which folders of a data set are its training and its test part, by their names."""

from __future__ import annotations

import itertools
import logging
import os
import re
import unicodedata
from collections.abc import Iterable
from typing import NamedTuple

from linconv.data.errors import DataError
from linconv.data.walk import entries, is_folder, shown

WORDS = {
    "train": "train|training|trainval|trn|learn|learning",
    "test": "test|tests|testing|tst",
    "validation": "val|vals|valid|validation|validate|dev|devel|development|eval|evaluation|holdout|heldout",
}
FILLER = r"(?:sets?|images?|imgs?|data|datasets?|splits?|parts?|samples?|files?|folders?|pictures?|photos?|\d+)"
USUAL = "train and test (or training, testing, val, validation, eval, dev, in any case)"

log = logging.getLogger("linconv")


class Role(NamedTuple):
    """What part a folder's name stands for, and what is left of the name: ("test", "pets") of "pets_test"."""

    part: str
    stem: str


def role_of(name: str) -> Role | None:
    """The part that a folder's name stands for; None if it is no name of a part."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    parts, stem = [], []
    for word in re.split(r"[\W_]+", words.casefold()):
        part = next((p for p, known in WORDS.items() if re.fullmatch(rf"{FILLER}*(?:{known}){FILLER}*", word)), None)
        if part:
            parts.append(part)
        elif not re.fullmatch(rf"{FILLER}*", word):
            stem.append(word)
    if parts == ["train", "validation"]:  # both together, as in VOC's trainval
        parts = ["train"]
    return Role(parts[0], " ".join(stem)) if len(parts) == 1 else None


def fold(name: str) -> str:
    """The name as a file system compares it that ignores case and the ways to write an accent."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def refuse_same_names(folder: str, names: Iterable[str]) -> None:
    """Raise a DataError where two names differ only by case, so that other disks would merge them."""
    met: dict[str, str] = {}
    for name in names:
        other = met.setdefault(fold(name), name)
        if other != name:
            raise DataError(f"{shown(folder)}: '{shown(other)}' and '{shown(name)}' differ only by case; rename one")


def subfolders(folder: str) -> list[str]:
    """The names of the folders in a folder, in order."""
    return [entry.name for entry in entries(folder) if is_folder(entry)]


def find_parts(folder: str) -> tuple[str, str] | None:
    """The names of the training and the test folder, or None where the folder holds the classes themselves.

    A part is a folder whose name says so and that holds folders. The test part is the one called test, without it the
    one called validation or similar.

    Raises:
        DataError: one part is missing, or it is not clear which folders are the parts.
    """
    names = subfolders(folder)
    refuse_same_names(folder, names)
    roles = {name: role for name in names if (role := role_of(name))}
    holders = {name: role for name, role in roles.items() if subfolders(os.path.join(folder, name))}
    plain = {name: role for name, role in holders.items() if not role.stem}
    if not plain:
        pairs = _pairs(holders)
        if len(pairs) != 1:
            _refuse_without_classes(folder, roles, holders, pairs)
            return None
        plain = {name: role for name, role in holders.items() if role.stem == holders[pairs[0][0]].stem}
    train, test = _one(folder, plain, ("train",)), _one(folder, plain, ("test", "validation"))
    if train is None or test is None:
        found, other = train or test, "test" if train else "train"
        raise DataError(
            f"{shown(folder)} has {found}/<class>/ but no {other}/<class>/; add it, or move the class folders of "
            f"{found}/ one level up to have them split (if '{found}' is a class, move its images out of its subfolders)"
        )
    unused = [name for name in names if name not in (train, test)]
    log.info("%s: %s/ is the training part, %s/ the test part", shown(folder), shown(train), shown(test))
    if unused:
        log.warning("%s: not read, beside the parts: %s", shown(folder), ", ".join(f"{shown(n)}/" for n in unused[:9]))
    return train, test


def holds_parts(folder: str) -> tuple[str, str] | None:
    """The names of a training and a test folder in a class folder, where there are both."""
    pairs = _pairs({name: role for name in subfolders(folder) if (role := role_of(name))})
    return pairs[0] if pairs else None


def _pairs(roles: dict[str, Role]) -> list[tuple[str, str]]:
    """Names of a training and another part with the same stem."""
    return [
        (one, other)
        for one, other in itertools.product(roles, roles)
        if roles[one].part == "train" and roles[other].part != "train" and roles[one].stem == roles[other].stem
    ]


def _one(folder: str, roles: dict[str, Role], wanted: tuple[str, ...]) -> str | None:
    """The folder of the first of the wanted parts that is there."""
    for part in wanted:
        names = [name for name, role in roles.items() if role.part == part]
        if len(names) > 1:
            raise DataError(
                f"{shown(folder)}: {' and '.join(f'{shown(n)}/' for n in names)} could each be the {part} part; rename "
                f"or remove all but one"
            )
        if names:
            return names[0]
    return None


def _refuse_without_classes(
    folder: str, roles: dict[str, Role], holders: dict[str, Role], pairs: list[tuple[str, str]]
) -> None:
    if pairs:
        raise DataError(
            f"{shown(folder)}: {' and '.join('/, '.join(map(shown, pair)) + '/' for pair in pairs)} could each be the "
            f"parts; rename them to train and test, and remove the others"
        )
    bare = _pairs({name: role for name, role in roles.items() if name not in holders})
    if bare:
        one, other = (shown(name) for name in bare[0])
        raise DataError(
            f"{shown(folder)}: {one}/ and {other}/ hold no class folders; put the images into {one}/<class>/ and "
            f"{other}/<class>/, or rename the folders if they are classes"
        )
