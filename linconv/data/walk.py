"""The image files below a folder: each real folder and file once, whatever links there are."""

from __future__ import annotations

import os
import stat
from collections import Counter
from pathlib import Path

from linconv.data.errors import DataError

ENDINGS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
# What systems add to folders of their own accord; so are names that begin with a dot.
SYSTEM_NAMES = frozenset({"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"})
KINDS = {
    stat.S_IFIFO: "a fifo",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}

Identity = tuple[int, int]  # device and inode


def shown(name: str | os.PathLike[str]) -> str:
    """A file name on one line of valid Unicode, whatever bytes it has."""
    text = os.fspath(name)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def entries(folder: str | os.PathLike[str]) -> list[os.DirEntry[str]]:
    """What a folder holds, in the order of the names, without hidden and system files.

    Raises:
        DataError: the folder cannot be read.
    """
    try:
        with os.scandir(folder) as scanned:
            found = [e for e in scanned if not e.name.startswith(".") and e.name not in SYSTEM_NAMES]
    except OSError as error:
        raise DataError(f"{shown(folder)} cannot be read ({error.strerror}); make it a readable folder") from None
    return sorted(found, key=lambda entry: entry.name)


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder (or a link to one), not a file.

    Raises:
        DataError: it is a fifo, a socket, a device, or a link that leads nowhere.
    """
    if entry.is_file(follow_symlinks=False):  # what the folder itself tells costs no call
        return False
    if entry.is_dir(follow_symlinks=False):
        return True
    try:
        kind = stat.S_IFMT(entry.stat().st_mode)
    except OSError as error:
        raise DataError(f"the link {shown(entry.path)} leads nowhere ({error.strerror}); mend or delete it") from None
    if kind not in (stat.S_IFREG, stat.S_IFDIR):
        what = KINDS.get(kind, "of an unknown kind")
        raise DataError(f"{shown(entry.path)} is {what}, not a file or folder; remove it from the data set's folder")
    return kind == stat.S_IFDIR


class Walk:
    """Finds the image files of a data set, class by class, and remembers what it has seen.

    A second way to a real folder or file is ignored within a class. It is refused where it belongs to another class or
    part, and where a link leads back to a folder above itself.
    """

    def __init__(self) -> None:
        self.unread: Counter[str] = Counter()  # endings of files that are not images
        self._places: dict[str, str] = {}  # the class that each folder was visited for
        self._folders: dict[Identity, str] = {}
        self._files: dict[int, str] = {}

    def images(self, folder: str, place: str) -> list[str]:
        """The image files of one class, by folder and by name.

        Args:
            folder: of the class.
            place: what to call the class in messages, such as "train/cat".

        Raises:
            DataError: something is there that must not be; the message names it.
        """
        found: list[str] = []
        waiting = [(folder, _above(folder))]
        while waiting:
            path, above = waiting.pop()
            identity = _identity(os.stat(path))
            if identity in above:
                raise DataError(f"the link {shown(path)} leads back to a folder above itself; delete it")
            if self._seen(self._folders.setdefault(identity, path), path, place):
                continue
            if os.path.islink(path):
                above |= _above(os.path.realpath(path))
            self._places[path] = place
            inside = sorted(entries(path), key=lambda entry: entry.is_symlink())  # a real name before links to it
            for entry in inside:
                if is_folder(entry):
                    waiting.append((entry.path, above | {identity}))
                elif not entry.name.lower().endswith(ENDINGS):
                    self.unread[os.path.splitext(entry.name)[1].lower() or entry.name] += 1
                elif self._is_new(entry, identity[0], place):
                    found.append(entry.path)
        return sorted(found, key=os.path.split)

    def _is_new(self, entry: os.DirEntry[str], device: int, place: str) -> bool:
        if entry.is_symlink():
            device, inode = _identity(entry.stat())
        else:
            inode = entry.inode()
        first = self._files.setdefault(device << 64 | inode, entry.path)
        return not self._seen(first, entry.path, place)

    def _seen(self, first: str, path: str, place: str) -> bool:
        """Whether `path` is `first`, which has the same identity and was met before under another name."""
        if first == path or not os.path.samefile(first, path):  # some file systems give an inode to two files
            return False
        other = self._places.get(first) or self._places[os.path.dirname(first)]
        if other != place:
            raise DataError(
                f"{shown(first)} and {shown(path)} are one and the same, and belong to '{other}' and '{place}'; "
                "delete the one that is wrong"
            )
        return True


def _above(path: str) -> frozenset[Identity]:
    return frozenset(_identity(os.stat(parent)) for parent in Path(path).absolute().parents)


def _identity(state: os.stat_result) -> Identity:
    return state.st_dev, state.st_ino
