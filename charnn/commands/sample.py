"""The command `charnn sample`."""

import contextlib
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from charnn.commands.console import say, waiting, with_bar
from charnn.commands.options import (
    ADAPT_RATE,
    AGAINST,
    CKPT,
    NOVELTY,
    UNKNOWN,
    adapt_rate_of,
)
from charnn.commands.texts import training_text
from charnn.errors import CharnnError, RequestError
from charnn.showing import escaped, excerpt

if TYPE_CHECKING:
    from charnn.checkpoint.checkpoint import Checkpoint
    from charnn.text.encoding import Ids
    from charnn.text.vocabulary import Vocabulary

_FLUSH_EVERY = 0.05  # seconds: smooth on a terminal, cheap in a pipe


def sample(
    ckpt: Annotated[Path, CKPT],
    n: Annotated[
        int,
        typer.Option(
            "--n", "-n", min=0, metavar="N", help="Characters to draw; the limit per document."
        ),
    ] = 500,
    prime: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="The prime: begin with this text, and print it first."),
    ] = None,
    prime_file: Annotated[
        str | None, typer.Option(metavar="PATH", help="Read the prime from a file, or - for stdin.")
    ] = None,
    temperature: Annotated[
        float, typer.Option(metavar="T", help="Below 1: safer text; above 1: more varied text.")
    ] = 1.0,
    top_k: Annotated[
        int | None,
        typer.Option(min=1, metavar="K", help="Draw from the K most probable characters."),
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option(
            metavar="P", help="Draw from the fewest characters that together have this probability."
        ),
    ] = None,
    greedy: Annotated[
        bool, typer.Option("--greedy", help="Always take the most probable.")
    ] = False,
    no_prime: Annotated[bool, typer.Option("--no-prime", help="Do not print the prime.")] = False,
    unknown: Annotated[Literal["error", "skip"], UNKNOWN] = "error",
    stop: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="End early, after this text; repeatable."),
    ] = None,
    samples: Annotated[
        int,
        typer.Option(
            min=1, metavar="M", help="Number of documents, or of texts separated by lines of ---."
        ),
    ] = 1,
    unique: Annotated[
        bool, typer.Option("--unique", help="Leave out repeated documents, and draw others.")
    ] = False,
    new: Annotated[
        bool,
        typer.Option("--new", help="Leave out documents found in the run's text; draw others."),
    ] = False,
    adapt: Annotated[bool, typer.Option("--adapt", help="Learn from the prime first.")] = False,
    adapt_rate: Annotated[float | None, ADAPT_RATE] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0, max=2**63 - 1, metavar="N", help="Seed of the random draws: one seed, one text."
        ),
    ] = None,
    novelty: Annotated[bool, NOVELTY] = False,
    against: Annotated[list[str] | None, AGAINST] = None,
) -> None:
    """Print text drawn from a model.

    The command draws exactly N characters after --prime and adds nothing. The model reads --prime
    as the beginning of a line. Without --prime, generation starts as if after a newline.

    A model of documents (data.documents) begins a document and ends it itself, after N characters
    at most. Documents are printed one a line, or separated as in the text.

    With --adapt, the model first learns from the prime, as in `charnn eval --adapt`, and
    then writes in its style. The checkpoint does not change.

    --novelty reports on stderr the share of the drawn text that is copied verbatim from the
    training text, in runs of 20 characters or more, and the longest run.

    \b
    Examples:
      charnn sample --ckpt run1.npz --n 500
      charnn sample --ckpt run1.npz --temperature 0.7 --prime "ROMEO:" --seed 1
      charnn sample --ckpt run1.npz --n 40 --samples 10 --stop "." --stop "!"
      charnn sample --ckpt names.npz --samples 20 --unique --new --prime "be"
      head -c 200 mine.txt | charnn sample --ckpt run1.npz --prime-file -
      charnn sample --ckpt run1.npz --prime-file page.txt --adapt --no-prime
    """
    if n > 10**12:
        raise RequestError(f"--n must be at most {10**12:,}, got {n:,}")
    if prime is not None and prime_file is not None:
        raise RequestError("--prime and --prime-file exclude each other")
    rate = adapt_rate_of(adapt, adapt_rate)
    if adapt and not prime and prime_file is None:
        raise RequestError("--adapt needs a text to learn from; give it with --prime-file")
    if against and not (novelty or new):
        raise RequestError("--against is for --novelty and --new")

    from charnn.checkpoint.checkpoint import load
    from charnn.commands.advice import better_checkpoint
    from charnn.draws import fresh_seed
    from charnn.novelty import Seen
    from charnn.sampling import Sampling
    from charnn.text.reading import read_text
    from charnn.writing import write

    try:
        stops = tuple(filter(None, stop or []))
        sampling = Sampling(temperature, top_k, top_p, greedy, stops)
    except RequestError as error:
        # The same words, with the names of the options: top_p is --top-p here.
        words = str(error).replace("top_", "top-").replace("see greedy", "see --greedy")
        raise RequestError(f"--{words}") from None
    checkpoint = load(ckpt)
    for note in better_checkpoint(ckpt, checkpoint):
        say(note)
    if prime_file is not None:
        newlines = checkpoint.config.data.normalize_newlines
        prime = read_text([prime_file], normalize_newlines=newlines)
    prime = _known(checkpoint.vocabulary, "the prime", prime or "", unknown)
    for text in stops:
        _known(checkpoint.vocabulary, "--stop", text, "error")
    documents, boundary = checkpoint.config.data.documents, checkpoint.vocabulary.boundary
    if (unique or new) and documents is None:
        raise RequestError("--unique and --new are for models of documents (data.documents)")
    training = training_text(checkpoint, against) if novelty else None
    seen = None
    if (unique or new) and boundary is not None:
        known = training_text(checkpoint, against, whole=True) if new else None
        seen = Seen(boundary, known, unique=unique, new=new)
    if seed is None and not greedy:
        seed = fresh_seed()
        with contextlib.suppress(OSError):
            print(f"seed {seed}", file=sys.stderr, flush=True)
    if rate is not None:
        _adapt(checkpoint, prime, rate)
    pieces = write(
        checkpoint.model,
        checkpoint.vocabulary,
        n,
        sampling,
        prime=prime,
        shows_prime=not no_prime,
        seed=seed or 0,
        samples=samples,
        documents=documents,
        accepts=seen,
    )
    written = _print(pieces, keep=novelty)
    if training is not None:
        # The first piece of each text is the prime, the last one follows all texts.
        one = samples == 1 and seen is None
        drawn = ["".join(written[1:-1])] if one else written[1::2]
        if boundary is not None:
            _report_documents([prime + text for text in drawn], training, checkpoint.vocabulary)
        _report_novelty(drawn, training, checkpoint.vocabulary)
    if seen:
        in_text = f", {seen.copied:,} in the model's text" if new else ""
        say(f"{seen.drawn:,} documents drawn: {seen.repeated:,} repeated{in_text}")
        if seen.left < samples:
            raise CharnnError(
                f"only {seen.left:,} of {samples:,} documents were found; the model hardly draws "
                "any others; raise --temperature or ask for fewer"
            )


def _adapt(checkpoint: "Checkpoint", prime: str, rate: float) -> None:
    """Let a model learn from the prime. A single character has no effect."""
    from charnn.adaptation import adapting
    from charnn.writing import opening

    known = checkpoint.vocabulary
    first = known.encode(opening(known, prime))
    if len(first) > 1:
        with_bar(adapting(checkpoint.model, first, rate=rate, boundary=known.boundary))


def _known(
    vocabulary: "Vocabulary", option: str, text: str, unknown: Literal["error", "skip"]
) -> str:
    """Return a text without the characters that the model does not know, or refuse them."""
    from charnn.text.encoding import UnknownCharactersError

    try:
        return vocabulary.decode(vocabulary.encode(text, unknown=unknown))
    except UnknownCharactersError as error:
        remedy = "; leave them out by --unknown skip" if option != "--stop" else ""
        raise UnknownCharactersError(f"{option}: {error}{remedy}") from None


def _print(pieces: Iterable[str], keep: bool) -> list[str]:
    """Print pieces of text as they are generated; return them to `keep`."""
    import numpy as np

    terminal = sys.stdout.isatty()
    last = "\n"
    kept: list[str] = []
    flushed = time.monotonic()
    with np.errstate(all="ignore"):
        for piece in pieces:
            if keep:
                kept.append(piece)
            shown = escaped(piece) if terminal else piece
            last = shown[-1:] or last
            sys.stdout.buffer.write(shown.encode("utf-8", "surrogatepass"))
            if time.monotonic() - flushed > _FLUSH_EVERY:
                sys.stdout.buffer.flush()
                flushed = time.monotonic()
    if terminal and last != "\n":  # so that the shell's prompt begins a line
        sys.stdout.buffer.write(b"\n")
    sys.stdout.buffer.flush()
    return kept


def _report_documents(drawn: list[str], training: "Ids", known: "Vocabulary") -> None:
    from charnn.novelty import Seen

    assert known.boundary is not None
    seen = Seen(known.boundary, training)
    for text in drawn:
        seen(known.encode(text))
    say(
        f"novelty: {seen.copied:,} of {seen.drawn:,} documents "
        f"({seen.copied / max(1, seen.drawn):.1%}) are in the training text; "
        f"{seen.repeated:,} repeat another one"
    )


def _report_novelty(drawn: list[str], training: "Ids", known: "Vocabulary") -> None:
    from charnn.novelty import RUN, copies

    with waiting("looking for copies"):
        found = copies([known.encode(text) for text in drawn], training)
    say(
        f"novelty: {found.share:.1%} of {found.characters:,} characters lie in copied runs of "
        f"{RUN} or more; the longest run has {len(found.longest):,}: "
        f"{excerpt(known.decode(found.longest))}"
    )
