"""What YAML reads otherwise than it looks is refused, on one line with file, line and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from linconv.config import ConfigError, load_config
from linconv.config.reading import read_yaml

GOOD = """\
experiment: x
datasets: [digits]
architectures: [base]
variants: [conv, L]
seeds:
  - 0
  - 1
"""

# what is wrong -> the file's content and the message after the file's name
TRAPS: dict[str, tuple[str | bytes, str]] = {
    "a key twice": (GOOD + "seeds: [2]\n", ":8: seeds: is given twice, first in line 5"),
    "a key twice below": (
        GOOD + "recipe:\n  preset: paper\n  preset: modern\n",
        ":10: recipe.preset: is given twice, first in line 9",
    ),
    "octal": (GOOD.replace("- 1", "- 010"), ":7: seeds.1: 010 is read as an octal number, 8; write no 0 in front"),
    "octal that stays": (GOOD.replace("- 1", "- 07"), ":7: seeds.1: 07 is read as an octal number, 7"),
    "base 60": (GOOD.replace("- 1", "- 1:30"), ":7: seeds.1: 1:30 is read as a number to the base 60"),
    "base 60 with a point": (GOOD + "data_root: 1:30.5\n", ":8: data_root: 1:30.5 is read as a number to the base 60"),
    "a date": (GOOD.replace("experiment: x", "experiment: 2026-11-26"), ":1: experiment: looks like a date"),
    "true as a seed": (GOOD.replace("- 1", "- true"), ":5: seeds: a number is expected, but entry 1 is true"),
    "true as a number": (GOOD + "threads: true\n", ":8: threads: a number is expected, but this is true"),
    "true as a rate": (
        GOOD + "recipe:\n  overrides:\n    - set: {learning_rate: true}\n",
        ":10: recipe.overrides.0.set.learning_rate: a number is expected, but this is true",
    ),
    "true as a rank": (
        GOOD + "define:\n  X: {extends: L, options: {rank: true}}\n",
        ":9: define.X.options.rank: a number is expected, but this is true",
    ),
    "no as a name": (GOOD.replace("[conv, L]", "[conv, no]"), ":4: variants.1: a text is expected; yes, no, on, off"),
    "on as a key": (GOOD + "on: 1\n", ":8: the key on is no text; write it in quotes"),
    "a number as a key": (GOOD + "define: {1: {extends: L}}\n", ":8: define: the key 1 is no text"),
    "a huge number": (GOOD.replace("- 1", f"- {'9' * 5000}"), ":7: seeds.1: a number of 5000 digits is too large"),
    "a tab": (GOOD + "recipe:\n\tpreset: paper\n", ":9: a tab cannot indent; use spaces"),
    "two documents": (GOOD + "---\n" + GOOD, ":8: a second document begins here; give each experiment a file"),
    "a tag": (GOOD + "data_root: !path x\n", ":8: data_root: the tag !path is not known; write a plain value"),
    "a tag of Python": (
        GOOD + "data_root: !!python/name:os.system\n",
        ":8: data_root: the tag !!python/name:os.system",
    ),
    "a tag of YAML": (GOOD + "data_root: !!binary aGk=\n", ":8: data_root: the tag !!binary is not known"),
    "an alias to itself": (
        GOOD + "define: &a {X: *a}\n",
        ":8: define.X: an alias must not lead to a value that holds it",
    ),
    "an unknown alias": (GOOD + "define: *a\n", ":8: not valid YAML: found undefined alias 'a'"),
    "an open bracket": (GOOD + "define: {\n", ":9: not valid YAML: expected the node content"),
    "nesting": ("experiment: " + "[" * 5000, ": values are nested too deeply"),
    "NUL": (GOOD + "data_root: a\0b\n", ": not valid YAML: unacceptable character #x0000"),
    "Latin-1": (
        GOOD.encode() + b"data_root: \xe9\n",
        ": is not UTF-8 text (byte 0xe9 at position 105); save it as UTF-8",
    ),
    "UTF-16": (GOOD.encode("utf-16"), ": is not UTF-8 text (byte 0xff at position 0)"),
    "nothing": ("", ": a mapping of keys to values is expected, but the file is empty"),
    "a list": ("- 1\n", ": a mapping of keys to values is expected, but this is list"),
    "an unknown key": (GOOD + "recip: {}\n", ":8: recip: unknown key; did you mean 'recipe'?"),
    "an unknown key below": (
        GOOD + "recipe:\n  prest: paper\n",
        ":9: recipe.prest: unknown key; did you mean 'preset'?",
    ),
    "parts that do not fit": (
        GOOD + "throughput:\n  variants: [conv]\n",
        ":9: throughput.variants: the plain network is always measured too",
    ),
    "the reference": (GOOD + "define:\n  conv: {layer: linear}\n", ":8: define: 'conv' is the plain network that all"),
    "a circle": (
        GOOD + "define:\n  a: {layer: conv, narrow_to: b}\n  b: {layer: conv, narrow_to: a}\n",
        ":9: define.a.narrow_to: 'b' is narrowed itself; name another variant",
    ),
    "narrow to itself": (
        GOOD + "define:\n  a: {layer: conv, narrow_to: a}\n",
        ":9: define.a.narrow_to: 'a' is narrowed itself",
    ),
}


@pytest.mark.parametrize(("content", "message"), TRAPS.values(), ids=TRAPS)
def test_a_trap_is_one_line_with_file_line_and_key(tmp_path: Path, content: str | bytes, message: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError) as error:
        load_config(path)
    (line,) = str(error.value).splitlines()
    assert line.startswith(f"{path}{message}"), line


def test_all_numbers_refuse_true_and_every_switch_takes_it() -> None:
    """Over every field of the configuration, whatever is added to it."""
    from linconv.catalogue import frozen
    from linconv.config.schema import Config

    seen, waiting = set(), [Config]
    while waiting:
        model = waiting.pop()
        if model in seen:
            continue
        seen.add(model)
        for name, field in model.model_fields.items():
            types = frozen._leaf_types(field.annotation)
            waiting += [t for t in types if issubclass(t, frozen.Frozen)]
            if types & {int, float} and bool not in types:
                with pytest.raises(ValueError, match="a number is expected, but this is true"):
                    model.__pydantic_validator__.validate_assignment(model.model_construct(), name, True)
    assert len(seen) > 10


def test_what_is_no_trap_is_read(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    text = "\ufeff# a mark of the byte order before, and ends of lines of Windows\r\n" + GOOD.replace("\n", "\r\n")
    path.write_bytes((text + "base: &b {L1: {extends: L}}\r\ndefine: {<<: *b, L2: {extends: L}}\r\n").encode())
    document = read_yaml(path)
    assert document.value["define"] == {"L1": {"extends": "L"}, "L2": {"extends": "L"}}
    assert document.value["seeds"] == [0, 1]
    assert document.lines["seeds", 1] == 8
    assert document.lines["define", "L2", "extends"] == 10


def test_aliases_of_aliases_are_walked_once(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    lines = ["a0: &a0 [x]", *(f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 9)}]" for i in range(30))]
    path.write_text("\n".join(lines))
    assert len(read_yaml(path).lines) < 400


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"c\.yaml: cannot be read \(No such file or directory\); make it or"):
        read_yaml(tmp_path / "c.yaml")


def test_a_folder_is_named_and_the_configuration_in_it(tmp_path):
    (tmp_path / "results").mkdir()
    with pytest.raises(ConfigError, match=r"results: a folder, where a configuration file is expected; name the file$"):
        read_yaml(tmp_path / "results")
    (tmp_path / "results" / "config.yaml").write_text("experiment: a")
    with pytest.raises(ConfigError, match=r"is expected; name .*results.config\.yaml$"):
        read_yaml(tmp_path / "results")
