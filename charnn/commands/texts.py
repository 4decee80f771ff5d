"""Finds and reads the text of a run: its own, or one named on the command line.

A checkpoint stores the path and a fingerprint of its text, not the text itself.
"""

import dataclasses
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from charnn.commands.console import reading_bar, say
from charnn.errors import CharnnError, CorpusError, RequestError
from charnn.ranks import ALONE, Ranks

if TYPE_CHECKING:
    from charnn.checkpoint.checkpoint import Checkpoint
    from charnn.config.keys import Config, DataConfig
    from charnn.text.corpus import Corpus
    from charnn.text.encoding import Ids

VALIDATION = "the validation text"  # its name if no other text is given


def read_corpus(
    config: "Config",
    source: "Checkpoint | None",
    *,
    again: bool,
    named: Collection[str] = (),
    quiet: bool = False,
    option: str = "--data",
    ranks: Ranks = ALONE,
) -> "Corpus":
    """Read the text that a config names.

    Args:
        config: names the text and its splits.
        source: the checkpoint whose vocabulary encodes the text; None for the text's own.
        again: whether `source` was trained on this text.
        named: the keys of the texts that the user named now. Only these may wait for input.
        quiet: whether to show no progress.
        option: the option that can name another text, for errors.
        ranks: the processes that read together.

    Raises:
        RequestError: if there is no text to read.
        CorpusError: if the text cannot be read or encoded.
    """
    if not config.data.path:
        raise RequestError("no text given: use --data PATH, or data.path in the config")
    from charnn.errors import ReadError
    from charnn.text.finding import lasting, standard_input_is_a_file

    if config.data.all_paths.count("-") > 1:
        raise RequestError("several texts cannot all be read from standard input")
    for key, paths in config.data.texts.items():
        if "-" in lasting(paths) and key not in named and not standard_input_is_a_file():
            way = f"{option} - or < FILE" if key == "data.path" else f"--set {key}=FILE"
            raise RequestError(f"this run read a text from a pipe: give it again, by {way}")

    remedy = "take them out of the text, or let the model learn them by --extend"
    if again:
        remedy = "it is not the text this model was trained on"
    try:
        return _encode(
            config.data,
            remedy=remedy,
            announces=not quiet and not again,
            quiet=quiet,
            ranks=ranks,
            vocabulary=source.vocabulary if source else None,
            val_fraction=config.data.val_fraction,
            test_fraction=config.data.test_fraction,
            split_seed=config.data.split_seed,
        )
    except ReadError as error:
        hint = f"; the checkpoint names this path: give its present path with {option}"
        raise ReadError(f"{error}{hint if again else ''}") from None


def text_to_read(
    checkpoint: "Checkpoint",
    paths: list[str] | None,
    split: Literal["train", "val", "test", "all"] | None,
    unknown: Literal["error", "skip"],
    has_split: bool = True,
) -> tuple[str, "Ids", int]:
    """Return the text that a command's model must read.

    Args:
        checkpoint: the model.
        paths: the text named on the command line; without it, the model's own.
        split: the part of the model's own text; None is all of `paths`, or else the validation
            split.
        unknown: whether characters outside the vocabulary are an error or are skipped.
        has_split: whether the command has the option --split, for messages.

    Returns:
        The name of the text, its (N,) ids, and the number of characters skipped.

    Raises:
        RequestError: if the split is empty, or is one of another text.
        CorpusError: if the text cannot be read or encoded.
        CharnnError: if the model's own text has changed.
    """
    if paths:
        corpus = _named_corpus(checkpoint, paths, split, unknown, has_split)
        if not split:
            return _shown(paths), corpus.ids, corpus.skipped
    else:
        corpus = _own_corpus(checkpoint, "--data")
    name = split or "val"
    ids = corpus.split(name)
    if not len(ids):
        way = "use --split train, or" if has_split else "use"
        raise RequestError(f"this run kept no {name} split; {way} --data")
    return name, ids, 0


def training_text(
    checkpoint: "Checkpoint", against: list[str] | None, *, whole: bool = False
) -> "Ids":
    """Return the (N,) ids of the training split, or of all of another text.

    Args:
        checkpoint: the model.
        against: paths of the text; without them, the checkpoint's own text is read.
        whole: whether to return all splits, or only the training split.

    Raises:
        RequestError: if the model's own text came from standard input.
        CorpusError: if the text cannot be read or encoded.
        CharnnError: if the model's own text has changed.
    """
    data = checkpoint.config.data
    if not against:
        from charnn.text.finding import lasting

        if "-" in lasting(data.all_paths):
            raise RequestError(
                "this model was trained on a text from a pipe: name that text with --against"
            )
        return _own_corpus(checkpoint, "--against").split("all" if whole else "train")
    corpus = _encode(
        data.of(against, again=True),
        remedy="compare with a text of the same characters",
        vocabulary=checkpoint.vocabulary,
    )
    if corpus.has_fingerprint(checkpoint.progress.fingerprint):
        own = corpus.divided(data.val_fraction, data.test_fraction, data.split_seed)
        return own.split("all" if whole else "train")
    say(f"{_shown(against)}: not the text this model was trained on; compared with all of it")
    return corpus.ids[: len(corpus.ids) - (corpus.val_length or 0) - (corpus.test_length or 0)]


def _named_corpus(
    checkpoint: "Checkpoint",
    paths: list[str],
    split: str | None,
    unknown: Literal["error", "skip"],
    has_split: bool,
) -> "Corpus":
    """Read a text named on the command line; only the model's own text has splits."""
    data, name = checkpoint.config.data, _shown(paths)
    named = data.of(paths, again=split is not None)
    corpus = _encode(
        named,
        remedy="leave them out by --unknown skip",
        vocabulary=checkpoint.vocabulary,
        # The model's own texts have no unknown characters.
        unknown=unknown if named.all_paths == named.path else "error",
    )
    own = not corpus.skipped and corpus.has_fingerprint(checkpoint.progress.fingerprint)
    kept = data.val_fraction + data.test_fraction
    if own and not split and kept:
        hint = "; see --split" if has_split else ""
        part = f"its last {kept:.0%}" if data.documents is None else f"{kept:.0%} of its documents"
        say(f"note: this model was trained on {name}, except {part}{hint}")
    if split and not own:
        raise RequestError(
            f"--split is for the text this model was trained on, and {name} is another"
        )
    return dataclasses.replace(
        corpus,
        val_fraction=data.val_fraction,
        test_fraction=data.test_fraction,
        split_seed=data.split_seed,
    )


def _own_corpus(checkpoint: "Checkpoint", option: str) -> "Corpus":
    """Read the text that a model was trained on; `option` can name another."""
    from charnn.checkpoint.progress import NO_TEXT

    if checkpoint.progress.fingerprint == NO_TEXT:
        raise RequestError(f"this model was imported without its text; name a text with {option}")
    corpus = read_corpus(checkpoint.config, checkpoint, again=True, option=option)
    if not corpus.has_fingerprint(checkpoint.progress.fingerprint):
        raise CharnnError(
            f"{_shown(checkpoint.config.data.path)}: not the text this model was trained on; "
            f"name any text with {option}"
        )
    return corpus


def _encode(
    data: "DataConfig",
    *,
    remedy: str,
    announces: bool = False,
    quiet: bool = False,
    ranks: Ranks = ALONE,
    **options: Any,
) -> "Corpus":
    """Read the texts that `data` names into a corpus.

    Args:
        data: names the texts, and how to read them.
        remedy: the advice in errors about unknown characters.
        announces: whether to print a note if text is added between the files.
        quiet: whether to show no progress.
        ranks: the processes that read together.
        options: passed on to `Corpus.from_text`.
    """
    from charnn.errors import ReadError
    from charnn.showing import BOUNDARY
    from charnn.text.corpus import Corpus
    from charnn.text.encoding import UnknownCharactersError
    from charnn.text.reading import read_blocks

    name = _shown(data.all_paths)
    notes: list[str] = []
    # Documents and separate texts are not divided, so the first rank reads everything.
    together = data.all_paths == data.path and data.documents is None

    def blocks(paths: Sequence[str]) -> Iterable[str]:
        if not together and ranks.rank > 0:
            return ()
        return read_blocks(
            paths,
            normalize_newlines=data.normalize_newlines,
            separator=data.separator if data.documents is None else BOUNDARY,
            order=data.order or "natural",
            on_read=on_read,
            on_note=notes.append,
            ranks=ranks if together else ALONE,
        )

    try:
        with reading_bar(name, quiet=quiet) as on_read:
            for split in ("val", "test"):
                if f"data.{split}_path" in data.texts:
                    options[f"{split}_text"] = blocks(data.texts[f"data.{split}_path"])
            corpus = Corpus.from_text(
                blocks(data.path), documents=data.documents, ranks=ranks, **options
            )
    except ReadError:
        raise  # it names the file already
    except UnknownCharactersError as error:
        raise UnknownCharactersError(f"{name}: {error}; {remedy}") from None
    except CorpusError as error:
        raise CorpusError(f"{name}: {error}") from None
    if announces:
        for note in notes:
            say(f"note: {note}")
    return corpus


def _shown(paths: Sequence[str]) -> str:
    return " ".join("standard input" if path == "-" else path for path in paths)
