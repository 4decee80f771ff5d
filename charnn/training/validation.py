"""Validation during training: the text is divided among all ranks and their threads."""

from collections.abc import Callable, Generator

from charnn.evaluation import Evaluation, evaluating
from charnn.machine import blas_threads
from charnn.network.network import Network
from charnn.ranks import Ranks
from charnn.text.encoding import Ids
from charnn.training.events import Evaluating
from charnn.training.stopping import INTERRUPTED

_SEGMENTS = 256  # parts of the text that are read side by side
_SEGMENTS_PER_THREAD = 64  # Fewer make the matrix products too small to run in parallel.


def validating(
    model: Network,
    ids: Ids,
    *,
    boundary: int | None,
    exact: bool,
    ranks: Ranks,
    cores: int,
    notice: Callable[[], int],
) -> Generator[Evaluating, None, tuple[Evaluation, int]]:
    """Evaluate a model over the validation text; yield the progress of this rank.

    Args:
        model: the network to validate.
        ids: (N,) character ids of the validation text.
        boundary: for a text of documents, the id of the boundary.
        exact: read the text, or each document, in one piece, for the exact loss; otherwise in
            segments, which is many times faster (see `evaluating`).
        ranks: each rank reads its share of the segments.
        cores: processors of this rank.
        notice: returns this rank's notice (see `charnn.training.stopping`). An interrupt ends
            the validation early.

    Returns:
        The evaluation over all ranks, and their highest notice. If that is `INTERRUPTED`, the
        evaluation is incomplete.

    Raises:
        DivergenceError: if the loss is not finite.
    """
    segments = 1 if exact else _SEGMENTS
    side_by_side = _SEGMENTS if boundary is not None else segments
    threads = max(1, min(cores, side_by_side // _SEGMENTS_PER_THREAD))
    score, noticed = Evaluation(0.0, 0, 0, 0), 0
    # The worker processes are idle now, so this process may use their cores.
    with ranks.agreeing(), blas_threads(cores // threads):
        for score in evaluating(
            model,
            ids,
            segments=segments,
            boundary=boundary,
            part=ranks.rank,
            parts=ranks.size,
            threads=threads,
        ):
            noticed = notice()
            if noticed == INTERRUPTED:
                break
            yield Evaluating(score.predictions, score.total)
    scores, notices = zip(*ranks.gather((score, noticed)), strict=True)
    return Evaluation.sum(scores), max(notices)
