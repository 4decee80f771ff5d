"""The checks and choices before a run begins or resumes."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charnn.checkpoint.checkpoint import load
from charnn.config.keys import Config, DataConfig
from charnn.config.loading import Override, load_config
from charnn.errors import CharnnError, ConfigError, RequestError
from charnn.text.corpus import Corpus
from charnn.training.preparation import eval_every, initial_config, resumed_config
from charnn.training.trainer import Trainer
from tests.helpers.blocks import short_blocks
from tests.helpers.ranks import OneRank
from tests.helpers.runs import SMALL, TEXT, finish, make_config, make_corpus, resume, train
from tests.helpers.texts import english


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


def test_a_corpus_of_one_text_cannot_be_divided_into_documents_later() -> None:
    config = Config(data=DataConfig(documents="lines"))
    with pytest.raises(ConfigError, match=r"one text; make it with Corpus.from_text\(text, docu"):
        Trainer(config, Corpus.from_text(TEXT))


def test_a_separator_does_nothing_beside_documents(tmp_path: Path) -> None:
    config = make_config(tmp_path, data__documents="lines", data__separator="X")
    trainer = Trainer(config, Corpus.from_text(TEXT, documents="lines"))
    assert any("data.separator does nothing" in warning for warning in trainer.warnings)


@pytest.mark.parametrize(
    ("steps", "every"), [(1, 1), (9, 1), (25, 2), (1000, 76), (9999, 249), (50_000, 1000)]
)
def test_a_short_text_is_validated_up_to_forty_times(
    tmp_path: Path, steps: int, every: int
) -> None:
    config = make_config(tmp_path, training__max_steps=steps, training__eval_every=None)
    assert Trainer(config, make_corpus(config)).config.training.eval_every == every


@given(
    steps=st.integers(1, 10**6),
    each=st.integers(1, 10**5),
    validation_characters=st.integers(0, 10**7),
)
def test_validations_are_ten_or_more_and_the_others_cost_little(
    steps: int, each: int, validation_characters: int
) -> None:
    every = eval_every(steps, steps * each, validation_characters)
    times = -(-steps // every)
    assert 1 <= every <= 1000
    assert times >= min(steps, 10)
    if every == 1000:  # of a long run
        return
    assert times <= 41 or steps < 4000
    if steps >= 1000 and times > 11:
        assert times * validation_characters <= 1.1 * steps * each / 20


def test_the_interval_between_validations_is_settled_when_a_run_begins(tmp_path: Path) -> None:
    config = make_config(tmp_path, training__max_steps=40, training__eval_every=None)
    finish(Trainer(config, make_corpus(config)))
    assert load(tmp_path / "run.npz").config.training.eval_every == 4
    longer = make_config(tmp_path, training__max_steps=80, training__eval_every=None)
    assert resume(longer).config.training.eval_every == 4
    changed = make_config(tmp_path, training__max_steps=80, training__eval_every=10)
    assert resume(changed).config.training.eval_every == 10


def test_a_best_checkpoint_never_steers_a_resume(tmp_path: Path, uninterrupted: Path) -> None:
    best = load(uninterrupted / "run.best.npz")
    assert not best.resumable
    with pytest.raises(CharnnError, match="--init"):
        Trainer(best.config, make_corpus(best.config), resume=best)


def test_full_bptt_that_does_not_fit_in_memory_is_refused_with_the_estimate(
    tmp_path: Path,
) -> None:
    config = make_config(tmp_path, training__seq_length="full", model__hidden_size=1_000_000)
    with pytest.raises(CharnnError, match=r"about [\d.,]+ GB .* available"):
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
    config = make_config(tmp_path, training__max_steps=20)
    with pytest.raises(RequestError, match="60 steps already, and its plan would end at 20"):
        Trainer(config, make_corpus(config), resume=stored)


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


def test_ranks_divide_the_cores_of_their_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("charnn.training.preparation.cores", lambda: 8)
    for size, sharing, given_threads, threads in (
        (4, 4, None, 2),
        (4, 2, None, 4),  # two ranks on each of two machines
        (16, 16, None, 1),
        (4, 4, 3, 3),
    ):
        config = make_config(tmp_path, training__batch_size=16, training__threads=given_threads)
        ranks = OneRank(0, size)
        ranks.sharing = sharing
        trainer = Trainer(config, Corpus.from_text(english(5000)), ranks=ranks)
        assert trainer._threads == threads


def test_a_checkpoint_of_a_long_text_with_a_plain_sha256_is_resumed(tmp_path: Path) -> None:
    text = english(20_000)
    config = make_config(tmp_path, training__max_steps=4)
    with short_blocks(1000):
        read = Corpus.from_text(text)
        old = hashlib.sha256(text.encode()).hexdigest()
        assert read.fingerprint != old
        trainer = Trainer(config, read)
        trainer.progress.fingerprint = old
        list(trainer.run(stop_after=2))
        resumed = resume(config, text)
        list(resumed.run())
        assert resumed.progress.step == 4
        with pytest.raises(Exception, match="the text is not the one"):
            resume(config, text[:-1] + "?")
