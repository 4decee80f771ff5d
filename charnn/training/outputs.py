"""TODO."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from charnn.errors import CharnnError
from charnn.files import refuse_existing, refuse_inputs


@dataclass(frozen=True)
class Outputs:
    """The three files of a run: NAME.npz, NAME.best.npz and NAME.jsonl."""

    checkpoint: Path

    @property
    def best(self) -> Path:
        """The checkpoint of the lowest validation loss."""
        return self.checkpoint.with_suffix(".best.npz")

    @property
    def log(self) -> Path:
        """The metrics log."""
        return self.checkpoint.with_suffix(".jsonl")

    @property
    def all(self) -> tuple[Path, Path, Path]:
        """All three."""
        return self.checkpoint, self.best, self.log

    def refuse_existing(self) -> None:
        """Refuse to replace what an earlier run left here.

        Raises:
            RequestError: naming the files that exist.
        """
        files = [path for path in self.all if path.exists()]
        if files == [self.log] and not self.log.stat().st_size:
            return  # the lock of a run that was killed as it began
        way = "go on with it by --resume, or " if self.checkpoint.exists() else ""
        refuse_existing(self.all, way)

    def remove_best(self) -> None:
        """Remove an earlier run's best checkpoint, if there is one.

        Raises:
            CharnnError: if it cannot be removed.
        """
        try:
            self.best.unlink(missing_ok=True)
        except OSError as error:
            raise CharnnError(f"{self.best}: cannot be removed: {error.strerror}") from None

    def refuse_inputs(self, inputs: Iterable[Path | str]) -> None:
        """Refuse to write where something is read from.

        Raises:
            RequestError: naming the file that is both; or a missing folder.
        """
        refuse_inputs(self.all, inputs)
