"""One line of use of every command, shown at the end of its `--help`."""

from __future__ import annotations

import typer

EXAMPLES = {
    "run": "linconv run digits.yaml",
    "config": "linconv config --example digits > digits.yaml",
    "plan": "linconv plan digits.yaml --estimate",
    "train": "linconv train digits.yaml --dataset digits --architecture base --variant Lr --seed 0",
    "session": "linconv session digits.yaml --output session --budget 30m",
    "work": "linconv work digits.yaml --results results --budget 2h",
    "reproduce": "linconv reproduce results/digits/runs/digits/base/Lr/seed0/result.json",
    "list": "linconv list networks methods",
    "collect": "linconv collect digits.yaml --partial",
    "merge": "linconv merge results/digits other/results/digits --output both/digits",
    "compare": "linconv compare results/digits other/results/digits --output differences.md",
    "report": "linconv report results/digits --output report.html",
    "measure complexity": "linconv measure complexity --architecture vgg11 --variant LRr --layers",
    "measure throughput": "linconv measure throughput --architecture vgg11 --variant Lr --batch 50",
    "measure regularizer": "linconv measure regularizer --architecture vgg11 --variant Lr --batch 50",
    "measure profile": "linconv measure profile --architecture vgg11 --variant Lr --activity training",
    "measure correctness": "linconv measure correctness --device cpu",
    "measure sensitivity": "linconv measure sensitivity --config digits.yaml --dataset digits --architecture base "
    "--variant Lr --epochs 1",
    "render tables": "linconv render tables results/digits",
    "render figures": "linconv render figures results/digits",
    "render all": "linconv render all results",
    "render claims": "linconv render claims results",
}


def add_examples(app: typer.Typer, path: str = "") -> None:
    """Put the example of every command of an application, and of the applications in it, at the end of its help."""
    for command in app.registered_commands:
        name = command.name or (command.callback.__name__ if command.callback else "")
        if command.epilog is None:
            command.epilog = f"Example: {EXAMPLES[f'{path} {name}'.strip()]}"
    for group in app.registered_groups:
        if group.typer_instance is not None:
            add_examples(group.typer_instance, group.name if isinstance(group.name, str) else path)
