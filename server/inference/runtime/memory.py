"""A model's sizes and the shape of a batch in, the memory that its run takes out.

Attention is computed by whole matrices on the CPU: a score for each head and each pair of positions
of each text, padding to the longest text included. That of 8192 tokens and 16 heads takes 4.3 GB,
and a client sends it in 30 KB. A mask has a logit for each word of the vocabulary: 512 masks and
250,000 words take half a GB. So a run is bounded by what it would take, before it is begun. A text
that alone takes more is none that the model reads here, and one with too many masks is refused.
Knows nothing of queues.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import isqrt
from typing import Final, Self

from models.heads import MLM, Reads, products_of
from models.manifest import MANIFEST_FILE, ManifestError, ModelManifest
from models.pooling import modes_of
from server.inference.runtime.packing import Item

_NUMBER: Final = 4  # bytes of a float32
# Rows that a layer holds at a time: padded ones, queries, keys and values by token and by head and
# what attention made of them; then without padding what it was given, and twice the feed-forward's.
_PADDED, _PACKED, _INNER = 7, 1, 2
_LOGITS: Final = {"fp32": 1, "fp16": 2, "int8": 2}  # of a mask, at a time
_CANDIDATE: Final = 12  # bytes of a log-probability and an int64
_RANKED: Final = 2  # rows of a mask's dense layer: given, and made


@dataclass(frozen=True)
class RunMemory:
    """What a run may take beside the model's weights, and what of it each part takes, in bytes.

    >>> bound = RunMemory(pair=48, slot=21504, token=27648, text=0, mask=122_088, most=192 << 20)
    >>> bound.takes(2, 512, 600, 1), bound.longest, bound.masks(512)
    (63896808, 1598, 1339)
    """

    pair: int
    """Of one pair of positions, in all heads."""
    slot: int
    """Of one position, be it a token's or padding, pooled in the model's own way."""
    token: int
    """What heads of tokens make of it included, whether or not somebody asks for it."""
    text: int
    """What heads of texts make of it."""
    mask: int
    """Its logits, and the candidates that are ranked; 0 where the model fills no masks."""
    most: int

    @classmethod
    def of(cls, manifest: ModelManifest, most: int, max_top_k: int) -> Self:
        """The memory of a model's runs, which may take `most`; a mask has `max_top_k` candidates.

        All masks of a run have as many as the one with most of them.
        """
        sizes = manifest.architecture
        hidden, inner, words = sizes.hidden_size, sizes.intermediate_size, sizes.vocab_size
        numbers = {
            reads: sum(
                head.numbers(hidden=hidden, labels=len(manifest.labels))
                for head in products_of(manifest.heads, reads)
            )
            for reads in (Reads.TOKENS, Reads.POOLED)
        }
        logits = _LOGITS[manifest.precision] * words + _RANKED * hidden
        more = len(modes_of(manifest.pooling.mode)) - 1  # rows are picked anew for each mode
        candidates = _CANDIDATE * min(max_top_k, words)
        return cls(
            pair=manifest.pair_bytes or _NUMBER * sizes.num_attention_heads,
            slot=_NUMBER * (_PADDED + more) * hidden,
            token=_NUMBER * (_PACKED * hidden + _INNER * inner + numbers[Reads.TOKENS]),
            text=_NUMBER * numbers[Reads.POOLED],
            mask=(_NUMBER * logits + candidates) if MLM.name in manifest.heads else 0,
            most=most,
        )

    def takes(self, texts: int, longest: int, tokens: int, masks: int) -> int:
        """Bytes of a run of texts that have so many tokens and masks together."""
        slots = texts * longest
        padded = self.pair * slots * longest + self.slot * slots
        return padded + self.token * tokens + self.text * texts + self.mask * masks

    def allows(self, texts: int, longest: int, tokens: int, masks: int) -> bool:
        """Whether such a run takes no more than it may."""
        return self.takes(texts, longest, tokens, masks) <= self.most

    @property
    def longest(self) -> int:
        """Tokens of the longest text that may be run by itself, with one mask."""
        # The larger n with pair * n² + each * n + once = most.
        each, once = self.slot + self.token, self.text + self.mask
        root = isqrt(max(0, each * each + 4 * self.pair * (self.most - once)))
        return max(0, root - each) // (2 * self.pair)

    def masks(self, tokens: int) -> int:
        """Masks that a text of so many tokens may have, of a model that fills them."""
        return (self.most - self.takes(1, tokens, tokens, 0)) // self.mask

    def parts(self, items: Sequence[Item]) -> Iterator[Sequence[Item]]:
        """Items in order, as many at a time as one run may take, and one at least."""
        first = 0
        for end in range(1, len(items) + 1):
            part = items[first : end + 1]
            lengths = [len(item.encoding) for item in part]
            masks = sum(item.output.masks for item in part)
            if end == len(items) or not self.allows(len(part), max(lengths), sum(lengths), masks):
                yield items[first:end]
                first = end

    def shortened(self, manifest: ModelManifest, folder: str) -> ModelManifest:
        """The manifest of a model `folder`, of texts that are no longer than may be run.

        Raises:
            ManifestError: none may, not even a pair of single tokens.
        """
        shortest = manifest.tokenizer.pair_specials + 2
        if self.longest < shortest:
            least = self.takes(1, shortest, shortest, int(self.mask > 0))
            raise ManifestError(
                f"{folder}/{MANIFEST_FILE} is of a model that takes {least} bytes for a run of "
                f"{shortest} tokens, and {self.most} are allowed here (--run-bytes)."
            )
        most = min(manifest.max_tokens, self.longest)
        pooling = replace(manifest.pooling, max_tokens=min(manifest.pooling.max_tokens, most))
        return replace(manifest, max_tokens=most, pooling=pooling)
