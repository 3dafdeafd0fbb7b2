"""A model's sizes and the shape of a batch in, the memory that its run takes out.

Attention is computed by whole matrices on the CPU: a score for each head and each pair of positions
of each text, padding to the longest text included. That of 8192 tokens and 16 heads takes 4.3 GB,
and a client sends it in 30 KB. So a run is bounded by what it would take, before it is begun, and
a text that alone takes more is none that the model reads here. Knows nothing of queues.
"""

from dataclasses import dataclass, replace
from math import isqrt
from typing import Final, Self

from models.manifest import ManifestError, ModelManifest

_NUMBER: Final = 4  # bytes of a float32
_LOGIT_BYTES: Final = 64 << 20  # of the vocabulary's logits in one run that weighs words
_FEWEST_ROWS: Final = 16  # of such a run, whatever the vocabulary
# Rows that a layer holds at a time: padded ones, queries, keys and values by token and by head and
# what attention made of them; then without padding what it was given, and twice the feed-forward's.
_PADDED, _PACKED, _INNER = 7, 1, 2


def word_rows(vocabulary: int) -> int:
    """Rows at which one run computes all of the vocabulary, to weigh its words.

    >>> word_rows(30522), word_rows(250002)
    (549, 67)
    """
    return max(_FEWEST_ROWS, _LOGIT_BYTES // (_NUMBER * vocabulary))


@dataclass(frozen=True)
class RunMemory:
    """What a run may take beside the model's weights, and what of it each part takes, in bytes.

    >>> bound = RunMemory(pair=48, slot=21504, token=27648, most=192 << 20)
    >>> bound.takes(2, 512, 600), bound.longest
    (63774720, 1599)
    """

    pair: int
    """Of one pair of positions, in all heads."""
    slot: int
    """Of one position, be it a token's or padding."""
    token: int
    most: int

    @classmethod
    def of(cls, manifest: ModelManifest, most: int) -> Self:
        """The memory of a model's runs, which may take `most`."""
        sizes = manifest.architecture
        hidden, inner = sizes.hidden_size, sizes.intermediate_size
        return cls(
            pair=manifest.pair_bytes or _NUMBER * sizes.num_attention_heads,
            slot=_NUMBER * _PADDED * hidden,
            token=_NUMBER * (_PACKED * hidden + _INNER * inner),
            most=most,
        )

    def takes(self, texts: int, longest: int, tokens: int) -> int:
        """Bytes of a run of texts that have so many tokens together."""
        slots = texts * longest
        return self.pair * slots * longest + self.slot * slots + self.token * tokens

    def allows(self, texts: int, longest: int, tokens: int) -> bool:
        """Whether such a run takes no more than it may."""
        return self.takes(texts, longest, tokens) <= self.most

    @property
    def longest(self) -> int:
        """Tokens of the longest text that may be run, by itself."""
        # The larger n with pair * n² + each * n = most.
        each = self.slot + self.token
        root = isqrt(each * each + 4 * self.pair * self.most)
        return (root - each) // (2 * self.pair)

    def shortened(self, manifest: ModelManifest) -> ModelManifest:
        """The manifest, of texts that are no longer than may be run.

        Raises:
            ManifestError: none may, not even a pair of single tokens.
        """
        shortest = manifest.tokenizer.pair_specials + 2
        if self.longest < shortest:
            raise ManifestError(
                f"{manifest.name} cannot be run: a run may take {self.most} bytes (--run-bytes), "
                f"and one of {shortest} tokens takes {self.takes(1, shortest, shortest)}."
            )
        most = min(manifest.max_tokens, self.longest)
        pooling = replace(manifest.pooling, max_tokens=min(manifest.pooling.max_tokens, most))
        return replace(manifest, max_tokens=most, pooling=pooling)
