"""The times of validations are measured on the validations that a run makes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from charnn.training.costs import seconds_per_validation, validations_left
from charnn.training.events import Evaluating
from charnn.training.trainer import Trainer
from tests.helpers.runs import finish, make_config, make_corpus


def test_the_last_validation_is_measured_as_the_exact_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config(tmp_path)
    trainer, asked = Trainer(config, make_corpus(config)), list[bool]()

    def validating(*_: Any, exact: bool, **others: Any) -> Iterator[Any]:
        asked.append(exact)
        return iter(())

    monkeypatch.setattr("charnn.training.costs.validating", validating)
    assert seconds_per_validation(trainer) == seconds_per_validation(trainer, exact=True) == 0
    assert asked == [False, True]


def test_the_validations_left_are_those_that_follow(tmp_path: Path) -> None:
    config = make_config(tmp_path, training__max_steps=20, training__eval_every=7)
    trainer = Trainer(config, make_corpus(config))
    assert validations_left(trainer) == 3  # steps 7, 14 and 20
    finish(trainer, stop_after=8)
    assert validations_left(trainer) == 2


def test_a_run_without_steps_left_has_no_validations_left(tmp_path: Path) -> None:
    config = make_config(tmp_path, training__max_steps=20, training__eval_every=7)
    trainer = Trainer(config, make_corpus(config))
    finish(trainer)
    assert validations_left(trainer) == 0


@pytest.mark.parametrize("seen", [[30], [30, 90], [30, 300]])
def test_the_time_is_that_of_the_whole_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seen: list[int]
) -> None:
    config = make_config(tmp_path)
    trainer, now = Trainer(config, make_corpus(config)), [0.0]

    def validating(*_: Any, **others: Any) -> Iterator[Any]:
        for done in seen:  # 0.1 s a prediction
            now[0] = done / 10
            yield Evaluating(done, 300)

    monkeypatch.setattr("charnn.training.costs.validating", validating)
    monkeypatch.setattr("charnn.training.costs.time.perf_counter", lambda: now[0])
    assert seconds_per_validation(trainer) == pytest.approx(30)


def test_without_a_validation_text_nothing_is_measured(tmp_path: Path) -> None:
    config = make_config(tmp_path, data__val_fraction=0)
    trainer = Trainer(config, make_corpus(config))
    assert (validations_left(trainer), seconds_per_validation(trainer)) == (0, 0)
