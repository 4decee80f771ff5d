"""The fingerprint of a text: SHA-256 over its UTF-8 bytes, in blocks."""

import hashlib
from collections.abc import Sequence

FINGERPRINT_BLOCK = 1 << 24  # bytes of text hashed as one, and cut between when ranks share it


class Fingerprint:
    """SHA-256 of a text's UTF-8 bytes; of a long one over the digests of blocks, each on its own.

    A block is the characters whose first byte lies in the same 16 MiB.
    """

    def __init__(self, blocks: Sequence[bytes] = ()):
        self._blocks = list(blocks)
        self._hash = hashlib.sha256()
        self._begun = False
        self._room = FINGERPRINT_BLOCK

    def update(self, raw: bytes) -> None:
        """Add whole characters."""
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
        """Return the digests of the blocks so far."""
        return [*self._blocks, self._hash.digest()] if self._begun else self._blocks

    def hexdigest(self) -> str:
        """Return the digest of the only block, or that of the digests of all."""
        blocks = self.blocks()
        return (blocks[0] if len(blocks) == 1 else hashlib.sha256(b"".join(blocks)).digest()).hex()


def begins_character(byte: int) -> bool:
    """Whether a byte of UTF-8 is the first of a character."""
    return byte & 0xC0 != 0x80
