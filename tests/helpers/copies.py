"""A plain search for copied runs, to compare `charnn.novelty` with."""

from charnn.novelty import RUN


def copied_runs(texts: list[str], source: str) -> tuple[int, str]:
    """Return how many characters lie in copied runs, and the first longest run."""
    inside, longest = 0, ""
    for text in texts:
        copied = set[int]()
        for start in range(len(text)):
            for end in range(start + len(longest) + 1, len(text) + 1):
                if text[start:end] not in source:
                    break
                longest = text[start:end]
            if start + RUN <= len(text) and text[start : start + RUN] in source:
                copied.update(range(start, start + RUN))
        inside += len(copied)
    return inside, longest
