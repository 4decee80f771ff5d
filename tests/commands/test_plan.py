"""`charnn plan` prints a config for a given time."""

from dataclasses import replace
from pathlib import Path

import pytest

from charnn.commands.plan import _about, _name
from charnn.config.loading import Override, load_config
from charnn.text.corpus import Corpus
from charnn.training.planning import plan
from charnn.training.trainer import Trainer
from tests.helpers.commands import ok, refused, run
from tests.helpers.in_process import ok_here
from tests.helpers.texts import english

PER_VALIDATION = "charnn.training.planning.seconds_per_validation"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "text.txt").write_text(english(8000))
    return tmp_path


def test_a_planned_config_trains(folder: Path) -> None:
    result = run("plan", "--data", "text.txt", "--time", "3s", cwd=folder)
    assert result.returncode == 0
    assert result.stderr == ""
    (folder / "mine.yaml").write_text(result.stdout)
    config = load_config(folder / "mine.yaml")
    assert config.data.path == ("text.txt",)
    assert config.output.checkpoint == "text.npz"
    assert config.training.max_steps
    comments = [line for line in result.stdout.splitlines() if line.startswith("# ")]
    assert comments[0].startswith("# about ")
    assert "expect a validation loss of" in result.stdout
    assert "# charnn plan --time 1h: " in result.stdout
    words = ["train", "--config", "mine.yaml", "--stop-after", "2"]
    lines = run(*words, cwd=folder).stderr
    assert "chosen" not in lines  # the plan names every key that a run would choose
    assert (folder / "text.npz").exists()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("mine.txt", "mine"),
        ("a/chat.log.gz", "chat"),
        ("x.best.txt", "x"),
        ("books/*.txt", "run"),
        ("-", "run"),
    ],
)
def test_a_run_is_named_after_its_text(text: str, name: str) -> None:
    assert _name(text) == name


def test_a_run_is_named_after_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "poems.d").mkdir()
    monkeypatch.chdir(tmp_path / "poems.d")
    assert _name(".") == _name("../poems.d") == "poems.d"


def test_given_keys_stay(folder: Path) -> None:
    sets = [
        "--set",
        "model.cell=gru",
        "--set",
        "model.hidden_size=8",
        "--set",
        "output.checkpoint=a.npz",
    ]
    (folder / "mine.yaml").write_text(
        ok("plan", "--data", "text.txt", "--time", "2s", *sets, cwd=folder)
    )
    config = load_config(folder / "mine.yaml")
    assert (config.model.cell, config.model.hidden_size) == ("gru", 8)
    assert config.output.checkpoint == "a.npz"


def test_given_epochs_are_those_of_the_comment(folder: Path) -> None:
    sets = ["--set", "training.epochs=3", "--set", "model.hidden_size=8"]
    planned = ok("plan", "--data", "text.txt", "--time", "2s", *sets, cwd=folder)
    assert "# the text is read 3.0 times" in planned.splitlines()


def test_documents_are_planned_as_documents(folder: Path) -> None:
    sets = ["--set", "data.documents=lines", "--set", "model.hidden_size=8"]
    printed = ok("plan", "--data", "text.txt", "--time", "2s", *sets, cwd=folder)
    assert "documents: lines" in printed


def test_what_cannot_be_planned_is_one_line(folder: Path) -> None:
    assert "--time: training.time_limit must be a time" in refused(
        2, "plan", "--data", "text.txt", "--time", "soon", cwd=folder
    )
    assert "no text given" in refused(2, "plan", cwd=folder)
    (folder / "short.txt").write_text("ab")
    refused(1, "plan", "--data", "short.txt", cwd=folder)


def test_more_time_plans_more_until_the_text_is_used_up() -> None:
    corpus = Corpus.from_text(english(8000))
    small = load_config(None, {})
    little, much = (plan(small, corpus, seconds) for seconds in (2.0, 10_000.0))
    assert much.exhausted
    assert not little.exhausted
    assert much.seconds < 10_000
    assert (much.config.training.max_steps or 0) > (little.config.training.max_steps or 0)
    assert much.expected is not None
    assert little.expected is not None
    assert much.expected[1] <= little.expected[1]
    trainer = Trainer(much.config, corpus)
    assert trainer.choices == []
    assert trainer.total_steps == much.config.training.max_steps


def test_the_comments_count_reading() -> None:
    made = plan(load_config(None, {}), Corpus.from_text(english(8000)), 2.0)
    lines = _about(replace(made, seconds=40.0), 60.0, reading=20.0)
    assert lines[0].startswith("# about 1m00s on ")


@pytest.mark.parametrize(
    ("sets", "little", "much"),
    [
        ({}, "rnn", "gru"),
        ({"model.cell": "lstm"}, "lstm", "lstm"),
        ({"model.activation": "relu"}, "rnn", "rnn"),
    ],
)
def test_a_plan_takes_gates_where_they_pay_and_no_cell_was_given(
    sets: dict[str, str], little: str, much: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trainer, "seconds_per_step", lambda trainer: 0.05)
    monkeypatch.setattr(PER_VALIDATION, lambda trainer, exact=False: 0.0)
    config = load_config(None, {key: Override(value, "") for key, value in sets.items()})
    corpus = Corpus.from_text(english(400_000))
    for seconds, cell in ((5.0, little), (300.0, much)):
        made = plan(config, corpus, seconds)
        assert made.config.model.cell == cell
        assert ("model.cell" in {choice.key for choice in made.choices}) == (not sets)
        lines = _about(made, seconds, reading=0.0)
        assert any("GRU units" in line for line in lines) == (much == "gru")


def test_the_rate_is_that_of_the_cell_that_is_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gates run so much slower here that the last cell measured is not the one planned."""

    def step(trainer: Trainer) -> float:
        return 0.0001 if trainer.config.model.cell == "rnn" else 5.0

    monkeypatch.setattr(Trainer, "seconds_per_step", step)
    monkeypatch.setattr(PER_VALIDATION, lambda trainer, exact=False: 0.0)
    made = plan(load_config(None, {}), Corpus.from_text(english(400_000)), 60.0).config
    assert (made.model.cell, made.model.hidden_size) == ("rnn", 128)
    assert made.training.learning_rate == 0.006  # a GRU's would be 0.01


def test_reading_the_text_leaves_less_time_for_steps(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trainer, "seconds_per_step", lambda trainer: 0.5)
    monkeypatch.setattr(PER_VALIDATION, lambda trainer, exact=False: 0.0)
    clock = iter([0.0, 30.0])
    monkeypatch.setattr("charnn.commands.plan.perf_counter", lambda: next(clock))
    planned = ok_here("plan", "--data", "text.txt", "--time", "61s", cwd=folder)
    assert planned.startswith("# about 1m01s on ")
    assert "max_steps: 60 " in planned


def test_validations_of_a_long_text_get_shorter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trainer, "seconds_per_step", lambda trainer: 0.1)
    monkeypatch.setattr(PER_VALIDATION, lambda trainer, exact=False: 30.0 if exact else 3.0)
    made = plan(load_config(None, {}), Corpus.from_text(english(400_000)), 60.0)
    assert made.config.data.val_fraction == pytest.approx(0.03)  # 17 s instead of 57
    assert made.config.training.max_steps == 418  # 42 s
    assert made.seconds == pytest.approx(60, abs=1)


def test_the_time_is_that_of_the_size_that_is_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Narrow networks run so much faster here that the last size measured is not the best one."""

    def step(trainer: Trainer) -> float:
        return 0.2 if trainer.config.model.hidden_size > 128 else 0.0001

    monkeypatch.setattr(Trainer, "seconds_per_step", step)
    monkeypatch.setattr(PER_VALIDATION, lambda trainer, exact=False: 0.0)
    vanilla = load_config(None, {"model.cell": Override("rnn", "")})
    made = plan(vanilla, Corpus.from_text(english(400_000)), 20.0)
    assert made.config.model.hidden_size == 128
    assert made.seconds == pytest.approx(1 + 0.0001 * (made.config.training.max_steps or 0))


def test_validations_are_part_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trainer, "seconds_per_step", lambda trainer: 0.1)
    monkeypatch.setattr(PER_VALIDATION, lambda trainer, exact=False: 0.3)
    made = plan(load_config(None, {}), Corpus.from_text(english(400_000)), 20.0)
    assert made.config.training.max_steps == 160  # and 10 validations
    assert made.seconds == pytest.approx(20)


def test_the_last_validation_takes_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trainer, "seconds_per_step", lambda trainer: 0.1)
    monkeypatch.setattr(PER_VALIDATION, lambda trainer, exact=False: 2.0 if exact else 0.1)
    made = plan(load_config(None, {}), Corpus.from_text(english(400_000)), 20.0)
    assert made.config.training.max_steps == 161  # and 1 s, 9 or 10 validations, the last one
    assert made.seconds == pytest.approx(20, abs=0.2)


def test_a_plan_has_a_step_even_if_one_is_more_work_than_the_text_is_worth(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Trainer, "seconds_per_step", lambda trainer: 1.0)
    monkeypatch.setattr(PER_VALIDATION, lambda trainer, exact=False: 0.0)
    monkeypatch.setattr("charnn.training.planning.most_work", lambda cell, characters: 1.0)
    made = plan(load_config(None, {}), Corpus.from_text(english(8000)), 36_000.0)
    assert made.exhausted
    assert made.config.training.max_steps == 1
