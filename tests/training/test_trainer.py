"""The loop: the plan, the log, the files, and resuming to the last bit."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from charnn.checkpoint.checkpoint import Checkpoint, load
from charnn.config.keys import Config
from charnn.config.loading import Override, load_config
from charnn.errors import CharnnError, ConfigError, DivergenceError, RequestError
from charnn.evaluation import evaluate
from charnn.text.corpus import Corpus
from charnn.training.events import Ended, Measured, Reason, Saved, Stepped
from charnn.training.metrics import MetricsLog
from charnn.training.preparation import initial_config, resumed_config
from charnn.training.trainer import Trainer
from tests.helpers.reference import loop
from tests.helpers.texts import english

TEXT = english(3000)
# 2700 characters to train on: 4 streams of 674, 34 windows of 20 an epoch, the last one shorter.
SMALL: dict[str, Any] = {
    "model.hidden_size": 12,
    "model.num_layers": 2,
    "model.dropout": 0.2,
    "training.batch_size": 4,
    "training.seq_length": 20,
    "training.max_steps": 60,
    "training.learning_rate": 0.01,
    "training.warmup_steps": 5,
    "training.clip_norm": 0.5,
    "training.weight_decay": 0.01,
    "training.ema_decay": 0.9,
    "training.eval_every": 7,
    "training.save_every": 9,
    "training.log_every": 4,
    "training.seed": 3,
}


# Nothing between the gradient and the optimizer's formula.
PLAIN: dict[str, Any] = {
    "model__dropout": 0,
    "training__schedule": "constant",
    "training__warmup_steps": 0,
    "training__clip_norm": None,
    "training__weight_decay": 0,
    "training__ema_decay": 0,
    "training__dtype": "float64",
    "data__val_fraction": 0,
}


def make_config(folder: Path, **changes: Any) -> Config:
    values = SMALL | {"output.checkpoint": str(folder / "run.npz")}
    values |= {key.replace("__", "."): value for key, value in changes.items()}
    return load_config(None, {key: Override(value, "test") for key, value in values.items()})


def make_corpus(config: Config, text: str = TEXT) -> Corpus:
    return Corpus.from_text(text, val_fraction=config.data.val_fraction)


def finish(trainer: Trainer, **limits: Any) -> Reason:
    *_, last = trainer.run(**limits)
    assert isinstance(last, Ended)
    return last.reason


def train(folder: Path, **changes: Any) -> Trainer:
    folder.mkdir(exist_ok=True)
    config = make_config(folder, **changes)
    trainer = Trainer(config, make_corpus(config))
    finish(trainer)
    return trainer


def resume(config: Config, text: str = TEXT) -> Trainer:
    checkpoint = load(config.output.checkpoint)
    return Trainer(
        resumed_config(config, checkpoint.config), make_corpus(config, text), resume=checkpoint
    )


def arrays(path: Path) -> dict[str, Any]:
    """Return a checkpoint's members, but for the folder that its config names."""
    with np.load(path, allow_pickle=False) as file:
        members = {name: file[name] for name in file.files if name != "checksum"}
    config = json.loads(str(members["config"]))
    del config["output"]
    return members | {"config": np.array(str(config))}


def log_lines(path: Path) -> list[dict[str, Any]]:
    """Return the log without its two measurements of time."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        del line["seconds"], line["chars_per_second"]
    return lines


def assert_same_run(one: Path, other: Path) -> None:
    for name in ("run.npz", "run.best.npz"):
        first, second = arrays(one / name), arrays(other / name)
        assert first.keys() == second.keys()
        for member, array in first.items():
            np.testing.assert_array_equal(array, second[member], err_msg=f"{name}: {member}")
    assert log_lines(one / "run.jsonl") == log_lines(other / "run.jsonl")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "folder_a"
    train(folder)
    return folder


# --- resuming ------------------------------------------------------------------------------------


@pytest.mark.parametrize("stops", [[1], [7], [33, 1], [34, 35], [10, 10, 10, 10], [59], [0, 20]])
def test_stopped_anywhere_and_resumed_ends_with_the_same_bits(
    tmp_path: Path, uninterrupted: Path, stops: list[int]
) -> None:
    folder = tmp_path / "folder_b"
    folder.mkdir()
    config = make_config(folder)
    trainer = Trainer(config, make_corpus(config))
    for stop in stops:
        if finish(trainer, stop_after=stop) == "finished":
            break
        trainer = resume(config)
    else:
        assert finish(trainer) == "finished"
    assert_same_run(uninterrupted, folder)


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "rmsprop"])
def test_every_optimizer_resumes_to_the_same_bits(tmp_path: Path, optimizer: str) -> None:
    one = train(tmp_path / "folder_a", training__optimizer=optimizer)
    (tmp_path / "folder_b").mkdir()
    config = make_config(tmp_path / "folder_b", training__optimizer=optimizer)
    finish(Trainer(config, make_corpus(config)), stop_after=31)
    finish(resume(config))
    assert_same_run(one.outputs.checkpoint.parent, tmp_path / "folder_b")


def test_a_crash_loses_only_the_steps_since_the_last_save(
    tmp_path: Path, uninterrupted: Path
) -> None:
    folder = tmp_path / "folder_b"
    folder.mkdir()
    config = make_config(folder)
    for event in Trainer(config, make_corpus(config)).run():
        if isinstance(event, Stepped) and event.step == 35:
            break  # as if killed: the log is ahead of the checkpoint of step 27
    with (folder / "run.jsonl").open("ab") as file:
        file.write(b'{"step": 36, "epo')
    trainer = resume(config)
    assert trainer.progress.step == 27
    finish(trainer)
    assert_same_run(uninterrupted, folder)


@pytest.mark.parametrize("step", [21, 60])
def test_interrupted_in_a_validation_it_is_made_anew(
    tmp_path: Path, uninterrupted: Path, step: int
) -> None:
    folder = tmp_path / "folder_b"
    folder.mkdir()
    config = make_config(folder)
    trainer = Trainer(config, make_corpus(config))
    assert finish(trainer, interrupted=lambda: trainer.progress.step == step) == "interrupted"
    assert trainer.progress.logged_step < trainer.progress.step == step
    # Killed soon after resuming, before the next save: the step's line is there once all the same.
    for event in resume(config).run():
        if isinstance(event, Stepped | Ended):
            break
    finish(resume(config))
    assert_same_run(uninterrupted, folder)


def test_two_runs_with_one_seed_are_equal_and_another_seed_differs(
    tmp_path: Path, uninterrupted: Path
) -> None:
    train(tmp_path / "folder_b")
    assert_same_run(uninterrupted, tmp_path / "folder_b")
    other = train(tmp_path / "folder_c", training__seed=4)
    assert (arrays(other.outputs.checkpoint)["V"] != arrays(uninterrupted / "run.npz")["V"]).any()


def test_a_changed_key_or_a_changed_text_is_refused_by_name(
    tmp_path: Path, uninterrupted: Path
) -> None:
    stored = load(uninterrupted / "run.npz").config
    changed = make_config(tmp_path, training__learning_rate=0.5, model__dropout=0)
    with pytest.raises(ConfigError) as caught:
        resumed_config(changed, stored)
    lines = str(caught.value).splitlines()
    assert any("training.learning_rate is 0.5, but the run to resume has 0.01" in x for x in lines)
    assert any("model.dropout" in line for line in lines)
    assert len(lines) == 2
    unseeded = make_config(tmp_path, training__seed=None)
    assert resumed_config(unseeded, stored).training.seed == 3
    longer = resumed_config(make_config(tmp_path, training__max_steps=99), stored)
    assert longer.training.max_steps == 99
    with pytest.raises(CharnnError, match=r"not the one .*run\.npz was trained on"):
        Trainer(
            stored,
            make_corpus(stored, TEXT.replace("king", "ging")),
            resume=load(uninterrupted / "run.npz"),
        )


def test_a_best_checkpoint_never_steers_a_resume(tmp_path: Path, uninterrupted: Path) -> None:
    best = load(uninterrupted / "run.best.npz")
    assert not best.resumable
    with pytest.raises(CharnnError, match="--init"):
        Trainer(best.config, make_corpus(best.config), resume=best)


# --- the mathematics of a run --------------------------------------------------------------------


def test_truncated_bptt_carries_the_state_and_resets_it_at_each_epoch(tmp_path: Path) -> None:
    """Each step's loss is the textbook loop's, by an SGD written here, over two epochs."""
    config = make_config(
        tmp_path,
        **PLAIN,
        training__optimizer="sgd",
        training__momentum=0,
        training__learning_rate=0.1,
    )
    corpus = make_corpus(config, TEXT[:500])
    trainer = Trainer(config, corpus)
    theta = {name: array.copy() for name, array in trainer.model.parameters.items()}
    losses = [event.loss for event in trainer.run(stop_after=15) if isinstance(event, Stepped)]
    length = (len(corpus.ids) - 1) // 4  # 124: six windows of 20 and one of 4
    state = trainer.model.zero_state(4)
    expected: list[float] = []
    for step in range(15):
        start = step % 7 * 20
        if start == 0:
            state[...] = 0
        places = np.arange(start, min(start + 20, length))[:, None] + np.arange(4) * length
        result = loop(theta, "tanh", corpus.ids[places], corpus.ids[places + 1], state)
        expected.append(result.loss / places.size)
        state = result.state
        for name, gradient in result.gradients.items():
            theta[name] -= 0.1 * gradient / places.size
    np.testing.assert_allclose(losses, expected, atol=1e-10)


def test_adam_counts_its_steps_from_one(tmp_path: Path) -> None:
    """Four steps are those of the formula, with gradients of the textbook loop."""
    config = make_config(
        tmp_path,
        **PLAIN,
    )
    corpus = make_corpus(config, TEXT[:500])
    trainer = Trainer(config, corpus)
    theta = {name: array.copy() for name, array in trainer.model.parameters.items()}
    m, v = ({name: np.zeros_like(array) for name, array in theta.items()} for _ in range(2))
    finish(trainer, stop_after=4)
    state = trainer.model.zero_state(4)
    for t in range(1, 5):
        places = np.arange(20 * (t - 1), 20 * t)[:, None] + np.arange(4) * 124
        result = loop(theta, "tanh", corpus.ids[places], corpus.ids[places + 1], state)
        state = result.state
        for name, gradient in result.gradients.items():
            g = gradient / places.size
            m[name] = 0.9 * m[name] + 0.1 * g
            v[name] = 0.999 * v[name] + 0.001 * g**2
            m_hat, v_hat = m[name] / (1 - 0.9**t), v[name] / (1 - 0.999**t)
            theta[name] -= 0.01 * m_hat / (np.sqrt(v_hat) + 1e-8)
    for name, array in theta.items():
        np.testing.assert_allclose(trainer.model.parameters[name], array, atol=1e-8, err_msg=name)


def test_full_bptt_is_one_window_over_the_whole_stream(tmp_path: Path) -> None:
    trainer = train(tmp_path, training__seq_length="full", training__max_steps=3)
    assert trainer.streams.steps_per_epoch == 1
    assert trainer.streams.seq_length == trainer.streams.stream_length == 674


def test_full_bptt_that_does_not_fit_in_memory_is_refused_with_the_estimate(
    tmp_path: Path,
) -> None:
    config = make_config(tmp_path, training__seq_length="full", model__hidden_size=1_000_000)
    with pytest.raises(CharnnError, match=r"about [\d.]+ GB .* available"):
        Trainer(config, make_corpus(config))


def test_a_batch_too_large_for_the_text_shrinks_and_says_so(tmp_path: Path) -> None:
    config = make_config(tmp_path, training__batch_size=500)
    trainer = Trainer(config, make_corpus(config))
    assert trainer.streams.batch_size == 2699 // 20
    assert trainer.warnings == [
        "the training text has 2,700 characters, fewer than batch_size 500 × seq_length 20 + 1 "
        "= 10,001; using batch_size 134"
    ]


def test_fewer_steps_than_were_made_are_refused(tmp_path: Path, uninterrupted: Path) -> None:
    stored = load(uninterrupted / "run.npz")
    config = resumed_config(make_config(tmp_path, training__max_steps=20), stored.config)
    with pytest.raises(RequestError, match="plan is 20 steps, but the run has made 60"):
        Trainer(config, make_corpus(config), resume=stored)


def test_stop_after_never_shapes_the_schedule(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    trainer = Trainer(config, make_corpus(config))
    before = trainer.learning_rate(40)
    finish(trainer, stop_after=10)
    assert resume(config).learning_rate(40) == before > 0


def test_weight_decay_shrinks_matrices_and_leaves_biases(tmp_path: Path) -> None:
    config = make_config(tmp_path, training__weight_decay=0.5, training__warmup_steps=0)
    plain = make_config(tmp_path, training__weight_decay=0, training__warmup_steps=0)
    decayed, kept = (Trainer(c, make_corpus(c)) for c in (config, plain))
    before = {name: array.copy() for name, array in kept.model.parameters.items()}
    for trainer in (decayed, kept):
        finish(trainer, stop_after=1)
    for name, array in before.items():
        shrunk = kept.model.parameters[name] - decayed.model.parameters[name]
        expected = 0.01 * 0.5 * array if array.ndim == 2 else np.zeros_like(array)
        np.testing.assert_allclose(shrunk, expected, atol=1e-7, err_msg=name)


def test_training_learns(tmp_path: Path) -> None:
    trainer = train(
        tmp_path, training__max_steps=400, model__hidden_size=48, training__clip_norm=5.0
    )
    uniform = np.log(len(trainer.corpus.vocabulary))
    assert trainer.progress.best_val_loss is not None
    assert trainer.progress.best_val_loss < 0.65 * uniform


def test_divergence_is_one_error_and_nothing_is_saved(tmp_path: Path) -> None:
    config = make_config(
        tmp_path,
        model__activation="relu",
        model__init="normal(3.0)",
        training__learning_rate=1e30,
        training__clip_norm=None,
        training__optimizer="sgd",
        training__warmup_steps=0,
    )
    with pytest.raises(DivergenceError, match=r"diverged at step \d+.*training\.clip_norm"):
        finish(Trainer(config, make_corpus(config)))
    assert load(tmp_path / "run.npz").progress.step == 0
    assert {path.name for path in tmp_path.iterdir()} == {"run.npz", "run.jsonl"}


def test_parameters_that_are_not_finite_never_replace_a_checkpoint(tmp_path: Path) -> None:
    config = make_config(
        tmp_path, training__optimizer="sgd", training__learning_rate=1e300, model__dropout=0
    )
    with pytest.raises(DivergenceError, match=r"not finite, so .*run\.npz was not written"):
        finish(Trainer(config, make_corpus(config)), stop_after=1)
    assert load(tmp_path / "run.npz").progress.step == 0


def test_averaged_parameters_are_saved_as_the_model_and_the_others_beside_them(
    tmp_path: Path,
) -> None:
    config = make_config(tmp_path, training__eval_every=100)
    trainer = Trainer(config, make_corpus(config))
    thetas = []
    for event in trainer.run(stop_after=6):
        if isinstance(event, Stepped):
            thetas.append(trainer.model.parameters.flat.copy())
    weights = 0.9 ** np.arange(6)[::-1]
    mean = weights @ np.array(thetas, np.float64) / weights.sum()
    saved = load(tmp_path / "run.npz")
    np.testing.assert_allclose(saved.model.parameters.flat, mean, atol=1e-6)
    np.testing.assert_array_equal(saved.slots["theta"], thetas[-1])
    assert np.abs(mean - thetas[-1]).max() > 1e-3


def test_the_averaged_model_is_the_one_that_is_validated(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    trainer = Trainer(config, make_corpus(config))
    *_, measured = (event for event in trainer.run() if isinstance(event, Measured))
    best = load(tmp_path / "run.npz")
    exact = evaluate(best.model, trainer.corpus.split("val")).nats_per_char
    assert measured.metrics.val_loss == exact


def test_a_validation_loss_that_is_not_finite_is_divergence(tmp_path: Path) -> None:
    config = make_config(tmp_path, model__activation="relu", training__ema_decay=0)
    trainer = Trainer(config, make_corpus(config))

    def run_and_spoil() -> None:
        for event in trainer.run():
            if isinstance(event, Stepped) and event.step == 7:
                trainer.model.parameters["W0"][...] *= 1e30

    with pytest.raises(DivergenceError, match="not finite"):
        run_and_spoil()
    assert "NaN" not in (tmp_path / "run.jsonl").read_text()
    assert not (tmp_path / "run.best.npz").exists()


def test_threads_hold_blas_to_their_number_also_when_resumed(tmp_path: Path) -> None:
    def threads() -> set[int]:
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

    config = make_config(tmp_path, training__threads=1)
    with threadpool_limits(2):
        assert threads() == {2}
        steps = 0
        for trainer in (Trainer(config, make_corpus(config)), None):
            for event in (trainer or resume(make_config(tmp_path))).run(stop_after=2):
                if isinstance(event, Stepped):
                    assert threads() == {1}
                    steps += 1
        assert steps == 4
        assert threads() == {2}


# --- the files -----------------------------------------------------------------------------------


def test_the_log_has_its_lines_and_the_last_step_is_evaluated(uninterrupted: Path) -> None:
    lines = log_lines(uninterrupted / "run.jsonl")
    steps = sorted(set(range(4, 61, 4)) | set(range(7, 61, 7)))
    assert [line["step"] for line in lines] == steps
    evaluated = [line["step"] for line in lines if line["val_loss"] is not None]
    assert evaluated == [7, 14, 21, 28, 35, 42, 49, 56, 60]
    assert lines[-1]["epoch"] == pytest.approx(60 / 34, abs=1e-4)
    # 33 windows of 20 and one of 14 make an epoch of 674 characters in each of 4 streams.
    assert lines[-1]["characters"] == 4 * (674 + 26 * 20)
    assert all(0 <= line["clipped"] <= 1 for line in lines)


def test_a_line_s_train_loss_is_the_mean_since_the_line_before(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    losses: list[float] = []
    for event in Trainer(config, make_corpus(config)).run(stop_after=33):
        if isinstance(event, Stepped):
            losses.append(event.loss)
        elif isinstance(event, Measured):
            assert event.metrics.train_loss == pytest.approx(np.mean(losses))
            losses.clear()


def test_the_final_validation_is_exact_and_the_best_checkpoint_is_the_best(
    uninterrupted: Path,
) -> None:
    lines = log_lines(uninterrupted / "run.jsonl")
    losses = {line["step"]: line["val_loss"] for line in lines if line["val_loss"] is not None}
    last, best = load(uninterrupted / "run.npz"), load(uninterrupted / "run.best.npz")
    val = make_corpus(last.config).split("val")
    assert losses[60] == evaluate(last.model, val).nats_per_char
    assert best.progress.best_step == min(losses, key=losses.__getitem__)
    assert best.progress.step == best.progress.best_step
    assert evaluate(best.model, val).nats_per_char == pytest.approx(min(losses.values()), abs=1e-4)


def test_the_log_is_on_the_disk_before_the_checkpoint_that_knows_it(
    tmp_path: Path, noting: Callable[..., list[str]]
) -> None:
    done = noting((MetricsLog, "sync"), (Checkpoint, "save"))
    train(tmp_path, output__keep_best=False, training__max_steps=20)
    assert done == ["save", *["sync", "save"] * 3]


def test_patience_ends_a_run_that_gets_no_better(tmp_path: Path) -> None:
    config = make_config(
        tmp_path, training__learning_rate=1e-12, training__patience=2, training__max_steps=1000
    )
    trainer = Trainer(config, make_corpus(config))
    trainer.progress.best_val_loss = 0.0
    assert finish(trainer) == "patience"
    assert trainer.progress.step == 14
    assert resume(config).finished == "patience"


def test_without_validation_no_best_is_kept(tmp_path: Path) -> None:
    trainer = train(tmp_path, data__val_fraction=0)
    assert not trainer.outputs.best.exists()
    assert log_lines(trainer.outputs.log)[-1]["val_loss"] is None


def test_saves_come_at_their_steps_and_at_the_end(tmp_path: Path) -> None:
    config = make_config(tmp_path, output__keep_best=False)
    trainer = Trainer(config, make_corpus(config))
    saves = [trainer.progress.step for event in trainer.run() if isinstance(event, Saved)]
    assert saves == [9, 18, 27, 36, 45, 54, 60]


def test_a_seed_nobody_gave_is_chosen_and_stored(tmp_path: Path) -> None:
    trainer = train(tmp_path, training__seed=None, training__max_steps=1)
    assert trainer.config.training.seed is not None
    assert load(tmp_path / "run.npz").config.training.seed == trainer.config.training.seed


def test_init_starts_from_the_parameters_alone(tmp_path: Path, uninterrupted: Path) -> None:
    source = load(uninterrupted / "run.npz")
    bare = {key: value for key, value in SMALL.items() if not key.startswith("model.")}
    bare["output.checkpoint"] = str(tmp_path / "run.npz")
    given = load_config(None, {key: Override(value, "test") for key, value in bare.items()})
    config = initial_config(given, source)
    corpus = Corpus.from_text(TEXT[:2000], vocabulary=source.vocabulary, val_fraction=0.1)
    trainer = Trainer(config, corpus, init=source)
    assert (trainer.progress.step, config.model.hidden_size) == (0, 12)
    np.testing.assert_array_equal(trainer.model.parameters.flat, source.model.parameters.flat)
    with pytest.raises(ConfigError, match=r"model\.hidden_size is 13.*has 12"):
        initial_config(make_config(tmp_path, model__hidden_size=13), source)


def test_a_checkpoint_is_of_one_moment(tmp_path: Path) -> None:
    """What `checkpoint` returns can be saved and loaded to the same run."""
    trainer = train(tmp_path, training__max_steps=8)
    stored: Checkpoint = load(tmp_path / "run.npz")
    assert stored.progress == trainer.progress
    assert stored.config == trainer.config
    assert stored.vocabulary == trainer.corpus.vocabulary
