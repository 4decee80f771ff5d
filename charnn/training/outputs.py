"""The names of a run's files, and the checks that they may be written."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from charnn.errors import CharnnError
from charnn.files import real, refuse_existing, refuse_inputs, refuse_unwritable
from charnn.showing import Shown, one_line


@dataclass(frozen=True, repr=False)
class Outputs(Shown):
    """The three files of a run: NAME.npz, NAME.best.npz and NAME.jsonl.

    Attributes:
        checkpoint: path of NAME.npz, the checkpoint that can be resumed.
    """

    checkpoint: Path

    @classmethod
    def of(cls, path: Path) -> Self:
        """Return the files of the run of a checkpoint, which may be the best one."""
        return cls(path.with_name(path.name.removesuffix(".npz").removesuffix(".best") + ".npz"))

    @property
    def best(self) -> Path:
        """The checkpoint with the lowest validation loss."""
        return self.checkpoint.with_suffix(".best.npz")

    @property
    def log(self) -> Path:
        """The metrics log."""
        return self.checkpoint.with_suffix(".jsonl")

    @property
    def all(self) -> tuple[Path, Path, Path]:
        """All three paths."""
        return self.checkpoint, self.best, self.log

    def __str__(self) -> str:
        return one_line(", ".join(map(str, self.all)))

    def refuse_unwritable(self) -> None:
        """Check that files of these names can be written.

        Raises:
            RequestError: if one cannot be written, or two are links to one file; it names the file.
        """
        refuse_unwritable(self.all)

    def existing(self) -> list[Path]:
        """Return the existing files of an earlier run."""
        files = [path for path in self.all if path.exists()]
        # A run that was killed right after it took its lock leaves an empty log.
        return [] if files == [self.log] and not self.log.stat().st_size else files

    def refuse_existing(self) -> None:
        """Check that there are no files of an earlier run.

        Raises:
            RequestError: if there are; the message names them.
        """
        if not self.existing():
            return
        way = "continue it with --resume, or " if self.checkpoint.exists() else ""
        refuse_existing(self.all, way)

    def remove_best(self) -> None:
        """Remove the best checkpoint of an earlier run, if there is one. A link to it stays.

        Raises:
            CharnnError: if it cannot be removed.
        """
        try:
            real(self.best).unlink(missing_ok=True)
        except OSError as error:
            raise CharnnError(f"{self.best}: cannot be removed: {error.strerror}") from None

    def refuse_inputs(self, inputs: Iterable[Path | str]) -> None:
        """Check that no output is also an input.

        Raises:
            RequestError: if a file is both; the message names it.
        """
        refuse_inputs(self.all, inputs)
