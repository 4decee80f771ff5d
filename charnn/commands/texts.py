"""TODO."""

import dataclasses
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from charnn import ranks as mpi
from charnn.errors import CharnnError, CorpusError, RequestError

if TYPE_CHECKING:
    from charnn.checkpoint.checkpoint import Checkpoint
    from charnn.config.keys import Config
    from charnn.novelty import Copies
    from charnn.ranks import Ranks
    from charnn.text.corpus import Corpus
    from charnn.text.encoding import Ids


def _read_corpus(
    config: "Config",
    source: "Checkpoint | None",
    *,
    again: bool,
    quiet: bool = False,
    option: str = "--data",
    ranks: "Ranks" = mpi.ALONE,
) -> "Corpus":
    """Read the text with a checkpoint's vocabulary, or its own; `again` if that model read it."""
    if not config.data.path:
        raise RequestError("no text given: use --data PATH, or data.path in the config")
    if again and "-" in config.data.path and sys.stdin.isatty():
        raise RequestError("this model was trained on standard input: give the same text, < TEXT")
    from charnn.text.reading import ReadError

    mend = "take them out of the text, or train anew, without --init"
    if again:
        mend = "it is not the text this model was trained on"
    try:
        return _encode(
            config.data.path,
            config.data.normalize_newlines,
            mend=mend,
            quiet=quiet,
            ranks=ranks,
            vocabulary=source.vocabulary if source else None,
            val_fraction=config.data.val_fraction,
            test_fraction=config.data.test_fraction,
        )
    except ReadError as error:
        hint = f"; the checkpoint names this path: say where the text is with {option}"
        raise ReadError(f"{error}{hint if again else ''}") from None


def _encode(
    paths: Sequence[str],
    normalize_newlines: bool,
    *,
    mend: str,
    quiet: bool = False,
    ranks: "Ranks" = mpi.ALONE,
    **options: Any,
) -> "Corpus":
    """Read texts into a corpus; `mend` says what helps against unknown characters."""
    from charnn.commands.console import reading
    from charnn.text.corpus import Corpus
    from charnn.text.encoding import UnknownCharactersError
    from charnn.text.reading import ReadError, read_blocks

    name = _shown_paths(paths)
    try:
        with reading(name, quiet=quiet) as on_read:
            text = read_blocks(
                paths, normalize_newlines=normalize_newlines, on_read=on_read, ranks=ranks
            )
            return Corpus.from_text(text, ranks=ranks, **options)
    except ReadError:
        raise  # it names the file
    except UnknownCharactersError as error:
        raise UnknownCharactersError(f"{name}: {error}; {mend}") from None
    except CorpusError as error:
        raise CorpusError(f"{name}: {error}") from None


def _shown_paths(paths: Sequence[str]) -> str:
    return " ".join("standard input" if path == "-" else path for path in paths)


def _training_text(checkpoint: "Checkpoint", against: list[str] | None) -> "Ids":
    """Return the ids of the training split, or of another text, whole."""
    from charnn.commands.console import say

    config = checkpoint.config
    if not against:
        if "-" in config.data.path:
            raise RequestError(
                "this model was trained on standard input: name that text with --against"
            )
        return _own_corpus(checkpoint, "--against").split("train")
    corpus = _encode(
        against,
        config.data.normalize_newlines,
        mend="compare with a text of the same characters",
        vocabulary=checkpoint.vocabulary,
        val_fraction=config.data.val_fraction,
        test_fraction=config.data.test_fraction,
    )
    if corpus.has_fingerprint(checkpoint.progress.fingerprint):
        return corpus.split("train")
    say(f"{_shown_paths(against)}: not the text this model was trained on; compared with all of it")
    return corpus.ids


def _copies(texts: list["Ids"], training: "Ids") -> "Copies":
    from charnn.commands.console import waiting
    from charnn.novelty import copies

    with waiting("looking for copies"):
        return copies(texts, training)


def _text_read_by(
    checkpoint: "Checkpoint",
    data: list[str] | None,
    split: Literal["train", "val", "test", "all"] | None,
    unknown: Literal["error", "skip"],
    option: str = "--data",
) -> tuple[str, "Ids", int]:
    """Return the name and the ids of what a model is to read, and how many characters it skips.

    `option` is what names `data` on the command line.
    """
    from charnn.commands.console import say

    known, settings = checkpoint.vocabulary, checkpoint.config.data
    if data:
        mend = "leave them out by --unknown skip"
        corpus = _encode(
            data, settings.normalize_newlines, mend=mend, vocabulary=known, unknown=unknown
        )
        path, fingerprint = _shown_paths(data), checkpoint.progress.fingerprint
        own = not corpus.skipped and corpus.has_fingerprint(fingerprint)
        kept = settings.val_fraction + settings.test_fraction
        if own and not split and kept:
            hint = "; see --split" if option == "--data" else ""
            say(f"note: this model was trained on {path}, but for its last {kept:.0%}{hint}")
        if not split:
            return path, corpus.ids, corpus.skipped
        if not own:
            raise RequestError(
                f"--split is for the text this model was trained on, and {path} is another"
            )
        shares = (settings.val_fraction, settings.test_fraction)
        corpus = dataclasses.replace(corpus, val_fraction=shares[0], test_fraction=shares[1])
    else:
        corpus = _own_corpus(checkpoint, option)
    name = split or "val"
    ids = corpus.split(name)
    if not len(ids):
        way = "use --split train, or" if option == "--data" else "use"
        raise RequestError(f"this run kept no {name} split; {way} {option}")
    return name, ids, 0


def _own_corpus(checkpoint: "Checkpoint", option: str) -> "Corpus":
    """Read the text that a model was trained on; `option` could name another."""
    corpus = _read_corpus(checkpoint.config, checkpoint, again=True, option=option)
    if not corpus.has_fingerprint(checkpoint.progress.fingerprint):
        raise CharnnError(
            f"{_shown_paths(checkpoint.config.data.path)}: not the text this model was trained on; "
            f"name any text with {option}"
        )
    return corpus
