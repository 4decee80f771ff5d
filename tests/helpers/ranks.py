"""A rank without the other ranks."""

from charnn import ranks as mpi


class OneRank(mpi.Ranks):
    """One of several ranks, without the others."""

    def __init__(self, rank: int, size: int):
        self.rank, self.size = rank, size
