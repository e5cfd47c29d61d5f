"""The learning rate of a run, chosen among several on its validation part. No test image is looked at."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from linconv.config import Recipe, ResolvedRun
from linconv.config.trials import trial_recipes
from linconv.data import Dataset
from linconv.results import RateChoice, RateTrial, write_text
from linconv.results.run_folder import SEARCHED
from linconv.training.callbacks import TrainingStoppedError
from linconv.training.checkpoint import ForeignError, aside, set_aside
from linconv.training.distributed import Team
from linconv.training.engine import Training

log = logging.getLogger("linconv")
Train = Callable[[ResolvedRun, Dataset], Training]


def choose_rate(
    run: ResolvedRun, data: Dataset, train: Train, folder: Path, identity: str, team: Team | None = None
) -> RateChoice:
    """Try every rate that the run's `rate_search` names, and take the best on the validation part.

    Every trial is the run itself, its seed and batches included, with a shorter recipe. In a trial the validation part
    stands in the place of the test part, which is left out of the data. Finished trials are kept in `folder`, and
    found again after an interruption.

    Args:
        data: with a validation part held out.
        train: trains a run on some data, to its end or until it is stopped.
        identity: of configuration, code and data; trials of another one are set aside, like its checkpoints.
        team: the processes that train; None: this one alone.

    Raises:
        TrainingStoppedError: a callback of the training stopped it.
    """
    assert run.rate_search is not None
    recipes = trial_recipes(run.recipe, run.rate_search.factors, run.rate_search.share)
    team = team or Team()
    trials = team.from_first(lambda: _finished(folder, identity))
    for number, recipe in enumerate(recipes[len(trials) :], start=len(trials) + 1):
        trials.append(_tried(run, data, train, recipe))
        kept = json.dumps({"identity": identity, "trials": [trial.model_dump() for trial in trials]})
        team.from_first(partial(write_text, folder / SEARCHED, kept))
        log.info("learning rate %d/%d: %s", number, len(recipes), _told(trials[-1]))
    choice = RateChoice.of(trials, recipes[0].epochs)
    log.info("learning rate %g is taken", choice.chosen)
    return choice


def _tried(run: ResolvedRun, data: Dataset, train: Train, recipe: Recipe) -> RateTrial:
    assert data.validation_images is not None
    assert data.validation_labels is not None
    seen = replace(
        data,
        test_images=data.validation_images,
        test_labels=data.validation_labels,
        validation_images=None,
        validation_labels=None,
    )
    training = train(run.model_copy(update={"recipe": recipe}), seen)
    if training.stop:
        raise TrainingStoppedError("interrupted while the learning rate was searched; the same command continues it")
    last = training.history[-1]
    top1, loss = (None, None) if training.diverged else (last.test_top1, last.test_loss)
    return RateTrial(learning_rate=recipe.learning_rate, val_top1=top1, val_loss=loss)


def _finished(folder: Path, identity: str) -> list[RateTrial]:
    place = folder / SEARCHED
    for path in (place, aside(place, identity)):
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            owner, trials = str(kept["identity"]), [RateTrial.model_validate(trial) for trial in kept["trials"]]
        except (OSError, ValueError, KeyError, TypeError):  # none, or damaged: the search begins anew
            continue
        if owner == identity:
            path.replace(place)
            return trials
        set_aside("search", path, place, ForeignError(owner, identity))
    return []


def _told(trial: RateTrial) -> str:
    if trial.val_top1 is None:
        return f"{trial.learning_rate:g} diverged"
    return f"{trial.learning_rate:g} gives {trial.val_top1:.2f} % on the validation part"
