"""`charnn.train`: a whole run by one call from Python."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from charnn.checkpoint.checkpoint import Checkpoint
from charnn.config.keys import Config
from charnn.errors import RequestError
from charnn.text.corpus import Corpus
from charnn.text.finding import files_named
from charnn.training.events import Ended, Event
from charnn.training.signals import noted_signals
from charnn.training.trainer import Trainer


def train(
    config: Config,
    corpus: Corpus,
    on_event: Callable[[Event], None] | None = None,
    *,
    init: Checkpoint | None = None,
    overwrite: bool = False,
) -> Checkpoint:
    """Train from Python, to the end of the run, and write its files.

    An interrupt (Ctrl-C, or the stop button of a notebook) ends the run after the present step, and
    the run is saved. To continue it, write `for event in charnn.Trainer(config,
    corpus, resume=charnn.load(path)).run(): pass`.

    Example:
        config = charnn.Config(training=charnn.TrainingConfig(max_steps=1000))
        checkpoint = charnn.train(config, charnn.Corpus.from_text(text))

    Args:
        config: of the run; `output.checkpoint` names the file to write.
        corpus: the text, divided into documents if the config says so. If it has no splits yet, the
            config makes them.
        on_event: called with each event; see `charnn.Event`.
        init: a checkpoint whose model the run starts from, or None to draw the parameters.
            Characters of only one of the texts are treated as in `charnn train --extend`.
        overwrite: whether files of an earlier run may be replaced.

    Returns:
        The last checkpoint.

    Raises:
        RequestError: if a file cannot be written, is also read, or exists and `overwrite` is false.
        KeyboardInterrupt: if the run was interrupted, after it is saved.
        CharnnError: as `Trainer` and `Trainer.run` do.
    """
    trainer = Trainer(config, corpus, init=init)
    trainer.outputs.refuse_unwritable()
    data = trainer.config.data
    trainer.outputs.refuse_inputs(files_named(data.all_paths, data.order or "natural"))
    existing = trainer.outputs.existing()
    if existing and not overwrite:
        raise RequestError(
            f"{existing[0]} exists; replace the run by overwrite=True, or name another "
            "output.checkpoint"
        )
    # Only the main thread can have signal handlers.
    is_main = threading.current_thread() is threading.main_thread()
    noted: AbstractContextManager[list[int]] = (
        noted_signals() if is_main else nullcontext(list[int]())
    )
    with noted as received:
        for event in trainer.run(overwrite=overwrite, interrupted=lambda: bool(received)):
            if on_event is not None:
                on_event(event)
            if isinstance(event, Ended) and event.reason == "interrupted":
                raise KeyboardInterrupt
    return trainer.checkpoint()
