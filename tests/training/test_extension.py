"""Training of a model goes on with a text of other characters."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charnn.checkpoint.checkpoint import Checkpoint, load
from charnn.checkpoint.progress import Progress
from charnn.config.keys import Config, ModelConfig, OutputConfig, TrainingConfig
from charnn.errors import ConfigError, CorpusError
from charnn.network.network import Network
from charnn.network.spec import Spec
from charnn.showing import BOUNDARY
from charnn.text.corpus import Corpus
from charnn.text.vocabulary import Vocabulary
from charnn.training.extension import carry_over, changed_characters
from charnn.training.trainer import Trainer
from tests.helpers.runs import TEXT, finish, make_config, train

CELLS = ("rnn", "gru", "lstm")
CHARACTERS = st.text("abcdé😀" + BOUNDARY, min_size=1)


def make_network(vocabulary: Vocabulary, cell: str, seed: int) -> Network:
    """Return a float64 network of two layers with random parameters."""
    model = Network.from_config(Spec(0, 5, 2, cell), len(vocabulary), np.float64)
    model.parameters.flat[...] = np.random.default_rng(seed).normal(size=model.num_parameters)
    return model


def make_checkpoint(vocabulary: Vocabulary, cell: str) -> Checkpoint:
    config = Config(model=ModelConfig(cell=cell, hidden_size=5, num_layers=2))
    return Checkpoint(config, vocabulary, make_network(vocabulary, cell, 1), Progress("0" * 64))


def of_character(network: Network, vocabulary: Vocabulary, character: str) -> list[Any]:
    """Return all that belongs to one character: a column of U0, a row of V and an entry of c."""
    k, parameters = vocabulary.characters.index(character), network.parameters
    return [parameters["U0"][:, k].tolist(), parameters["V"][k].tolist(), parameters["c"][k]]


@given(CHARACTERS, CHARACTERS, st.sampled_from(CELLS))
def test_each_character_takes_its_parameters_along(before: str, after: str, cell: str) -> None:
    old, new = Vocabulary(before), Vocabulary(after)
    init, drawn, model = make_checkpoint(old, cell), *(make_network(new, cell, 2) for _ in "12")
    carry_over(init, model.parameters, new)
    for character in after:
        source, vocabulary = (init.model, old) if character in before else (drawn, new)
        expected = of_character(source, vocabulary, character)
        assert of_character(model, new, character) == expected
    for name in set(model.parameters) - {"U0", "V", "c"}:
        np.testing.assert_array_equal(model.parameters[name], init.model.parameters[name])


@given(CHARACTERS, CHARACTERS, st.sampled_from(CELLS), st.randoms())
def test_a_text_of_common_characters_is_read_as_before(
    before: str, after: str, cell: str, random: Any
) -> None:
    common = sorted(set(before) & set(after))
    if not common:
        return
    old, new = Vocabulary(before), Vocabulary(after)
    init, model = make_checkpoint(old, cell), make_network(new, cell, 2)
    carry_over(init, model.parameters, new)
    text = "".join(random.choices(common, k=20))
    of_common = []
    for network, vocabulary in ((init.model, old), (model, new)):
        o = network.logits(vocabulary.encode(text)[:, None], network.zero_state())
        of_common.append(o[..., vocabulary.encode("".join(common))])
    np.testing.assert_allclose(of_common[0], of_common[1], rtol=0, atol=1e-12)


@settings(max_examples=30)
@given(CHARACTERS)
def test_a_model_of_the_same_characters_is_copied_without_a_warning(characters: str) -> None:
    vocabulary = Vocabulary(characters)
    init, model = make_checkpoint(vocabulary, "gru"), make_network(vocabulary, "gru", 2)
    carry_over(init, model.parameters, vocabulary)
    np.testing.assert_array_equal(model.parameters.flat, init.model.parameters.flat)
    assert changed_characters(vocabulary, vocabulary) == []


@pytest.mark.parametrize(
    ("before", "after", "warning"),
    [
        ("ab\n", "ab", "the model loses 1 character that the text lacks: '\\n' (U+000A)"),
        ("ab", "abc", "1 character is new to the model: 'c' (U+0063)"),
        (
            "ab" + BOUNDARY,
            "bcd",
            "the model loses 2 characters that the text lacks: 'a' (U+0061), ⟨end⟩; "
            "2 characters are new to it: 'c' (U+0063), 'd' (U+0064)",
        ),
        (
            "a",
            "abcdefgh",
            "7 characters are new to the model: 'b' (U+0062), 'c' (U+0063), 'd' (U+0064), "
            "'e' (U+0065), 'f' (U+0066) and 2 more",
        ),
    ],
)
def test_the_warning_names_the_first_few_characters(before: str, after: str, warning: str) -> None:
    assert changed_characters(Vocabulary(before), Vocabulary(after)) == [warning]


# --- whole runs ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A trained GRU."""
    folder = tmp_path_factory.mktemp("source")
    train(folder, model__cell="gru", training__max_steps=5)
    return load(folder / "run.npz")


def extended(folder: Path, source: Checkpoint, text: str, seed: int = 7) -> Trainer:
    """Return a run that goes on with a model on a text with other characters."""
    config = make_config(folder, model__cell="gru", training__seed=seed)
    return Trainer(config, Corpus.from_text(text), init=source)


def test_new_characters_are_drawn_by_the_seed(tmp_path: Path, source: Checkpoint) -> None:
    text = TEXT.replace("k", "κ").replace("q", "ж")
    one, same, other = (extended(tmp_path, source, text, seed) for seed in (7, 7, 8))
    np.testing.assert_array_equal(one.model.parameters.flat, same.model.parameters.flat)
    vocabulary = one.corpus.vocabulary
    drawn = Network(len(vocabulary), 12, 2, cell="gru")
    drawn.initialize("uniform", seed=7)
    for character in vocabulary.characters:
        expected = of_character(one.model, vocabulary, character)
        if character in "κж":
            assert of_character(drawn, vocabulary, character) == expected
            assert of_character(other.model, vocabulary, character) != expected
        else:
            assert of_character(source.model, source.vocabulary, character) == expected
            assert of_character(other.model, vocabulary, character) == expected
    np.testing.assert_array_equal(one.averaged.parameters.flat, one.model.parameters.flat)


def test_vocabularies_of_the_same_size_are_not_mixed_up(tmp_path: Path, source: Checkpoint) -> None:
    trainer = extended(tmp_path, source, TEXT.replace("\n", "~"))
    vocabulary = trainer.corpus.vocabulary
    assert len(vocabulary) == len(source.vocabulary)
    for character in "aT ":
        expected = of_character(source.model, source.vocabulary, character)
        assert of_character(trainer.model, vocabulary, character) == expected
    assert trainer.warnings[0] == (
        "the model loses 1 character that the text lacks: '\\n' (U+000A); "
        "1 character is new to it: '~' (U+007E)"
    )


def test_the_sizes_are_those_of_the_model(tmp_path: Path, source: Checkpoint) -> None:
    output, training = OutputConfig(checkpoint="new.npz"), TrainingConfig(max_steps=1, seed=1)
    config = Config(training=training, output=output)
    trainer = Trainer(config, Corpus.from_text(TEXT + "é"), init=source)
    assert trainer.config.model.cell == "gru"
    assert trainer.model.spec.hidden_size == 12
    for other in (ModelConfig(hidden_size=13), ModelConfig(num_layers=1), ModelConfig(cell="rnn")):
        config = Config(model=other, training=training, output=output)
        with pytest.raises(ConfigError, match="but the --init checkpoint has"):
            Trainer(config, Corpus.from_text(TEXT + "é"), init=source)


def test_an_extended_run_is_resumed_with_its_own_characters(
    tmp_path: Path, source: Checkpoint
) -> None:
    trainer = extended(tmp_path, source, TEXT + "é")
    finish(trainer, stop_after=3)
    stored = load(tmp_path / "run.npz")
    assert stored.vocabulary == trainer.corpus.vocabulary
    again = Trainer(stored.config, trainer.corpus, resume=stored, init=source)
    assert again.progress.step == 3
    np.testing.assert_array_equal(again.model.parameters.flat, trainer.model.parameters.flat)
    assert not any("new to" in warning for warning in again.warnings)


def test_a_model_of_documents_needs_documents_or_loses_the_boundary(
    tmp_path: Path, source: Checkpoint
) -> None:
    config = make_config(tmp_path, model__cell="gru", data__documents="blank-lines")
    divided = Corpus.from_text(TEXT, documents="blank-lines")
    trainer = Trainer(config, divided, init=source)
    assert trainer.warnings[0] == "1 character is new to the model: ⟨end⟩"
    finish(trainer, stop_after=2)
    of_documents = load(tmp_path / "run.npz")

    plain = Corpus.from_text(TEXT, vocabulary=of_documents.vocabulary)
    config = make_config(tmp_path, model__cell="gru")
    with pytest.raises(CorpusError, match=r"knows ⟨end⟩, .* set data\.documents, .* --extend"):
        Trainer(config, plain, init=of_documents)
    back = extended(tmp_path, of_documents, TEXT)
    assert back.warnings[0] == "the model loses 1 character that the text lacks: ⟨end⟩"
    finish(back, stop_after=2, overwrite=True)
    assert load(tmp_path / "run.npz").vocabulary == source.vocabulary
