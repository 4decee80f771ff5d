"""The fingerprint of a text, by which a checkpoint recognises the text it was trained on."""

import hashlib
from collections.abc import Sequence

FINGERPRINT_BLOCK = 1 << 24  # Bytes of text hashed as one block. Ranks divide a text at blocks.


class Fingerprint:
    """SHA-256 of a text's UTF-8 bytes. For a text of several blocks: of the blocks' digests.

    A block consists of the characters whose first byte is in the same 16 MiB of the text. Blocks
    are hashed independently, so that several processes can hash parts of one text.
    """

    def __init__(self, blocks: Sequence[bytes] = ()):
        """Begin with the digests of complete blocks."""
        self._blocks = list(blocks)
        self._hash = hashlib.sha256()
        self._begun = False
        self._room = FINGERPRINT_BLOCK

    def update(self, raw: bytes) -> None:
        """Append UTF-8 bytes that are whole characters."""
        while len(raw) > self._room:
            cut = max(self._room, 0)
            while cut < len(raw) and not begins_character(raw[cut]):
                cut += 1
            if cut == len(raw):
                break
            self._hash.update(raw[:cut])
            self._blocks.append(self._hash.digest())
            self._hash = hashlib.sha256()
            self._room += FINGERPRINT_BLOCK - cut
            raw = raw[cut:]
        self._hash.update(raw)
        self._begun |= bool(raw)
        self._room -= len(raw)

    def blocks(self) -> list[bytes]:
        """Return the digest of each block so far, the last one possibly incomplete."""
        return [*self._blocks, self._hash.digest()] if self._begun else self._blocks

    def hexdigest(self) -> str:
        """Return the fingerprint in hexadecimal."""
        blocks = self.blocks()
        return (blocks[0] if len(blocks) == 1 else hashlib.sha256(b"".join(blocks)).digest()).hex()


def begins_character(byte: int) -> bool:
    """Return whether a byte of UTF-8 is the first of its character."""
    return byte & 0xC0 != 0x80
