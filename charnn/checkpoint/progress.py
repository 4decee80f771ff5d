"""The progress of a run: every number, besides the arrays, on which its next step depends."""

from typing import Annotated

from pydantic import ConfigDict, Field, NonNegativeFloat, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from charnn.showing import Shown, show_loss

NO_TEXT = "0" * 64  # the fingerprint of an imported model, whose text is unknown
NonNegativeInt = Annotated[int, Field(ge=0, lt=2**63)]


@checked_dataclass(config=ConfigDict(strict=True, extra="forbid", allow_inf_nan=False), repr=False)
class Progress(Shown):
    """The progress of a run.

    It has no times, so the same run gives the same checkpoint, byte for byte.

    Attributes:
        fingerprint: of the text (see `charnn.text.fingerprint`), or `NO_TEXT`.
        step: number of steps done. The position in the text follows from it.
        val_loss: of the last validation, in nats per character, or None before the first.
        best_val_loss: the lowest validation loss so far, in nats per character.
        best_step: the step of that validation.
        evals_since_best: number of validations since then.
        logged_step: step of the last line of the metrics log. The next line covers the steps since
            then: `nats`, `characters`, `clipped_steps`.
        nats: sum of the training loss.
        characters: number of predictions trained on.
        clipped_steps: number of steps whose gradient was clipped.
        grad_norm: norm of the last step's gradient before clipping.
        rollbacks: how often the run diverged and went back to its last save.
        smoothed_loss: running mean of the training loss (see `charnn.training.divergence`).
        lowest_loss: its lowest value so far.
        steps_above_uniform: number of steps in a row for which it was above uniform guessing.
        steps_above_best: number of steps in a row for which it was far above its lowest value.
    """

    fingerprint: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    step: NonNegativeInt = 0
    val_loss: float | None = None
    best_val_loss: float | None = None
    best_step: NonNegativeInt | None = None
    evals_since_best: NonNegativeInt = 0
    logged_step: NonNegativeInt = 0
    nats: NonNegativeFloat = 0.0
    characters: NonNegativeInt = 0
    clipped_steps: NonNegativeInt = 0
    grad_norm: NonNegativeFloat = 0.0
    rollbacks: NonNegativeInt = 0
    smoothed_loss: NonNegativeFloat | None = None
    lowest_loss: NonNegativeFloat | None = None
    steps_above_uniform: NonNegativeInt = 0
    steps_above_best: NonNegativeInt = 0

    @property
    def learning_rate_factor(self) -> float:
        """The factor on the scheduled learning rate: each rollback halves it."""
        return 0.5**self.rollbacks

    def __str__(self) -> str:
        facts = [f"step {self.step:,}"]
        if self.val_loss is not None:
            facts.append(f"validation {show_loss(self.val_loss)}")
        best, at = self.best_val_loss, self.best_step
        if best is not None and at is not None and at != self.step:
            facts.append(f"best {best:.4f} at step {at:,}")
        return ", ".join(facts)

    def json(self) -> str:
        """Return the progress as the JSON that a checkpoint stores."""
        return _ADAPTER.dump_json(self).decode()


_ADAPTER = TypeAdapter(Progress)


def parse_progress_json(text: str) -> Progress:
    """Read the progress stored in a checkpoint.

    Raises:
        ValueError: if it is not valid, in one line.
    """
    try:
        return _ADAPTER.validate_json(text)
    except ValidationError as error:
        raise ValueError(f"its progress is not valid: {error.errors()[0]['msg']}") from None
