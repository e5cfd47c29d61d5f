"""Configurations as mappings, for tests that change one key."""

from pathlib import Path

ROOT = Path(__file__).parents[2]


def raw(**changes):
    base = {"experiment": "x", "datasets": ["digits"], "architectures": ["base"], "variants": ["conv"], "seeds": [0]}
    return {**base, **changes}


def pets(**values):
    return {"datasets": ["pets"], "imagefolders": {"pets": {"path": "pets", **values}}}


def variant(**values):
    return {"variants": ["X"], "define": {"X": {"layer": "linear", **values}}}
