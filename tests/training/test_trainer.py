"""The training loop: its mathematics, and resuming to the last bit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from charnn.checkpoint.checkpoint import load
from charnn.errors import DivergenceError, RequestError
from charnn.training.events import Ended, Stepped
from charnn.training.trainer import Trainer
from tests.helpers.runs import (
    TEXT,
    arrays,
    assert_same_run,
    finish,
    make_config,
    make_corpus,
    resume,
    train,
)
from tests.helpers.textbook import loop

# These settings leave nothing between the gradient and the optimizer's formula.
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
    # This kill comes after the resume and before the next save. The step's line must not repeat.
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


# --- the mathematics of a run --------------------------------------------------------------------


def test_truncated_bptt_carries_the_state_and_resets_it_at_each_epoch(tmp_path: Path) -> None:
    """Each step's loss equals that of the textbook loop with plain SGD, over two epochs."""
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
    """Four steps equal the formula with gradients of the textbook loop."""
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
        finish(trainer, stop_after=1, overwrite=True)
    for name, array in before.items():
        shrunk = kept.model.parameters[name] - decayed.model.parameters[name]
        expected = 0.01 * 0.5 * array if array.ndim == 2 else np.zeros_like(array)
        np.testing.assert_allclose(shrunk, expected, atol=2e-7, err_msg=name)


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


# --- patience ------------------------------------------------------------------------------------


def test_patience_ends_a_run_that_gets_no_better(tmp_path: Path) -> None:
    config = make_config(
        tmp_path, training__learning_rate=1e-12, training__patience=2, training__max_steps=1000
    )
    trainer = Trainer(config, make_corpus(config))
    trainer.progress.best_val_loss = 0.0
    assert finish(trainer) == "patience"
    assert trainer.progress.step == 14
    assert resume(config).finished == "patience"


def test_a_run_replaces_files_only_when_asked(tmp_path: Path) -> None:
    train(tmp_path, training__max_steps=1)
    config = make_config(tmp_path, training__max_steps=2)
    with pytest.raises(RequestError, match=r"run\.npz exists"):
        finish(Trainer(config, make_corpus(config)))
    assert load(tmp_path / "run.npz").progress.step == 1
    finish(Trainer(config, make_corpus(config)), overwrite=True)
    assert load(tmp_path / "run.npz").progress.step == 2
