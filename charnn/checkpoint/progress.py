"""Checkpoints: one `.npz` that `numpy.load(file, allow_pickle=False)` reads.

Members (docs/checkpoint.md describes them for other programs):

    format_version   1
    checksum         SHA-256 over all other members
    config           the whole resolved config, JSON text
    progress         where training stands, JSON text (see `Progress`)
    vocabulary       (K,) code points
    U0, W0, b0, U1 … V, c       the parameters (see `model.parameter_shapes`), averaged if asked for
    hidden_state     (L, B, H), h at the end of the last step      } not in a best
    optimizer.NAME   (P,), one for each slot of the optimizer      } checkpoint
    optimizer.theta  (P,), the parameters the average is of        }

Saving is atomic: a temporary file in the same folder, flushed to disk and read back, then renamed
over the old one. Loading trusts nothing: every header is checked against the file's size before an
array is read, and every array against the config, the vocabulary and the checksum.
"""

from typing import Annotated

from pydantic import ConfigDict, Field, NonNegativeFloat, TypeAdapter
from pydantic.dataclasses import dataclass as checked_dataclass

Count = Annotated[int, Field(ge=0, lt=2**63)]


@checked_dataclass(config=ConfigDict(strict=True, extra="forbid", allow_inf_nan=False))
class Progress:
    """Where training stands: with the arrays, all that the next step depends on.

    No time is in it: the same run gives the same file, byte for byte.

    Attributes:
        fingerprint: SHA-256 of the corpus.
        step: steps done; the place in the corpus follows from it.
        val_loss: of the last validation, nats per character.
        best_val_loss: the lowest so far.
        best_step: when that was.
        evals_since_best: validations since then.
        logged_step: step of the last line of the metrics log; the rest counts from there.
        nats: training loss summed over `characters`.
        characters: predictions trained on.
        clipped_steps: steps whose gradient was clipped.
        grad_norm: of the last step, before clipping.
        rollbacks: how often the run diverged and went back; each halves the learning rate.
        smoothed_loss: running mean of the training loss, see `charnn.training.divergence`.
        lowest_loss: its lowest so far.
        steps_above_uniform: steps in a row for which it has been above uniform guessing.
        steps_above_best: steps in a row for which it has been far above its lowest.
    """

    fingerprint: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    step: Count = 0
    val_loss: float | None = None
    best_val_loss: float | None = None
    best_step: Count | None = None
    evals_since_best: Count = 0
    logged_step: Count = 0
    nats: NonNegativeFloat = 0.0
    characters: Count = 0
    clipped_steps: Count = 0
    grad_norm: NonNegativeFloat = 0.0
    rollbacks: Count = 0
    smoothed_loss: NonNegativeFloat | None = None
    lowest_loss: NonNegativeFloat | None = None
    steps_above_uniform: Count = 0
    steps_above_best: Count = 0

    @property
    def learning_rate_factor(self) -> float:
        """What the learning rate of the schedule is multiplied by."""
        return 0.5**self.rollbacks


_PROGRESS = TypeAdapter(Progress)
