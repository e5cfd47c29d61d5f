"""The text of a syntax tree, which the hash of the code is made of, is the same under every version of Python."""

from __future__ import annotations

import ast
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from linconv.results import syntax
from linconv.results.syntax import syntax_text

PACKAGE = Path(syntax.__file__).parents[1]
# what versions of Python parse in different ways, or may come to: f-strings, type parameters, text, numbers, docstrings
SAMPLE = r'''
"""A docstring
        indented."""
def f(x, /, *, w=1e300, **rest):
    "Another."
    match x:
        case {"a": [1, *_]}:
            return f"{x:>{w}}" 'and' f'{x!r:>10}' f"{'nested'} {x=}" "\u1c89 \U0001fadf \xad", b"\x00"
    with (open(x) as a, open(x) as b):
        return -1j, ..., u"kind", 10**30, lambda: (yield)
class C: ...
'''
GOLDEN = "b96db4a31860674670305c9980a2d5ce2ee1539cfaf971d05c14e5e8463b7864"
OTHERS = [f"python3.{minor}" for minor in range(11, 16) if minor != sys.version_info[1]]
PRINT = """
import ast, hashlib, runpy, sys
text = runpy.run_path(sys.argv[1])["syntax_text"]
for path in sys.stdin.read().splitlines():
    print(hashlib.sha256(text(ast.parse(open(path, "rb").read())).encode()).hexdigest())
"""


def digest(source: str | bytes) -> str:
    return hashlib.sha256(syntax_text(ast.parse(source)).encode()).hexdigest()


def test_this_version_gives_the_text_that_all_give() -> None:
    assert digest(SAMPLE) == GOLDEN


@pytest.mark.parametrize("name", OTHERS)
def test_every_file_has_one_digest_under_all_versions(name: str) -> None:
    program = shutil.which(name)
    if program is None or subprocess.run([program, "-V"], capture_output=True).returncode:
        pytest.skip(f"{name} is not installed")
    files = sorted(PACKAGE.rglob("*.py"))
    command = [program, "-c", PRINT, syntax.__file__]
    done = subprocess.run(command, input="\n".join(map(str, files)), capture_output=True, text=True, check=True)
    assert done.stdout.split() == [digest(file.read_bytes()) for file in files]


@pytest.mark.parametrize(
    ("one", "other"),
    [("f'{a}b'", "f'{a}c'"), ("f'{a}b'", "f'{a}', 'b'"), ("x = 'a'", "x = 'b'"), ("1", "1.0"), ("a.b", "a.c")],
)
def test_what_differs_gives_another_text(one: str, other: str) -> None:
    assert digest(one) != digest(other)


@pytest.mark.parametrize("same", ["f'{a}bc'", "f'{a}' 'bc'", "f'{a}b' f'c'", "f'{a}b'  'c'  # remark", "(f'{a}bc')"])
def test_what_means_the_same_gives_the_same_text(same: str) -> None:
    assert digest(same) == digest("f'{a}bc'")
