"""The boundary between documents: one more character of a model's vocabulary."""

from charnn.showing import show_character

BOUNDARY = "\ud800"  # half of a UTF-16 pair: no text in UTF-8 has it
BOUNDARY_NAME = "⟨end⟩"  # as it is shown


def show_known(character: str) -> str:
    """Show a character of a vocabulary, as 'é' (U+00E9); the boundary by its name."""
    return BOUNDARY_NAME if character == BOUNDARY else show_character(character)
