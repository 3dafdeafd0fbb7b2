"""The heads that an encoder may have, each declared once: read by the exporter and by the server.

A head turns rows of the encoder into what a task asks for. Most are one product with a bias; those
need nothing but their line in `HEADS`. Knows nothing of ONNX or HTTP. Letters: V vocabulary,
E columns of the word table, H hidden, C labels.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

Shapes = dict[str, tuple[int, ...]]


class Reads(Enum):
    """Which rows of the last layer a head reads."""

    MASKS = "rows of masks"
    CLS = "the row of [CLS]"
    POOLED = "the row that the pooler gives"
    TOKENS = "rows of tokens"


@dataclass(frozen=True)
class Head:
    """What a head is called, what it reads, and which weights it is made of."""

    name: str
    """As in a manifest, and the first part of its weights' names."""
    title: str
    """For people, as in "the model has no next-sentence head"."""
    task: str | None
    """The task that it answers, also the path of its route; None for what no route answers yet."""
    reads: Reads
    width: int | None = None
    """Numbers that it gives for each row; None for one per label, or as `of_width` says."""
    of_width: bool = False
    """It gives as many numbers as a row of the encoder has."""
    modules: Mapping[str, str] = field(default_factory=dict)
    """Weight name -> the same module in a BERT of transformers, each with weight and bias."""
    architectures: tuple[str, ...] = ()
    """Classes of transformers that have it in BERT; other encoders put their own name in front."""

    @property
    def output(self) -> str:
        """The graph's output, of a head that is one product: float32 (rows, width)."""
        return f"{self.name}_logits"

    @property
    def is_product(self) -> bool:
        """Whether the head is one product with a bias."""
        return self.name not in {MLM.name, POOLER.name}

    @property
    def by_label(self) -> bool:
        """Whether it gives one number per label."""
        return self.is_product and self.width is None and not self.of_width

    def numbers(self, *, hidden: int, labels: int) -> int:
        """How many it gives for each row, of a head that is one product.

        >>> SEQUENCE.numbers(hidden=768, labels=3), MULTI_VECTOR.numbers(hidden=768, labels=3)
        (3, 768)
        """
        if self.of_width:
            return hidden
        return labels if self.width is None else self.width

    @property
    def layer(self) -> str:
        """The name of the dense layer that comes before its product, in families that have one."""
        return self.name if self.name == POOLER.name else f"{self.name}.transform"

    @property
    def norm(self) -> str:
        """The name of the norm of that layer's rows, in families that have one."""
        return f"{self.name}.norm"

    def shapes(self, *, vocabulary: int, embedding: int, hidden: int, labels: int) -> Shapes:
        """The shape of each of its weights by name, in BERT; a decoder that is not tied left out.

        `embedding` is E: what the masked language model multiplies the word table by.

        >>> NSP.shapes(vocabulary=30522, embedding=768, hidden=768, labels=0)
        {'nsp.weight': (2, 768), 'nsp.bias': (2,)}
        """
        if self.name == MLM.name:
            transform = product_shapes(self.layer, embedding, hidden)
            norm = norm_shapes(self.norm, embedding)
            return transform | norm | {"mlm.decoder.bias": (vocabulary,)}
        if self.name == POOLER.name:
            return product_shapes(self.layer, hidden, hidden)
        return product_shapes(self.name, self.numbers(hidden=hidden, labels=labels), hidden)


def product_shapes(name: str, out: int, in_: int) -> Shapes:
    """The shapes of a product's weight and bias."""
    return {f"{name}.weight": (out, in_), f"{name}.bias": (out,)}


def norm_shapes(name: str, width: int) -> Shapes:
    """The shapes of a norm's weight and bias."""
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


MLM: Final = Head(
    name="mlm",
    title="masked language model",
    task="fill-mask",
    reads=Reads.MASKS,
    modules={
        "mlm.transform": "cls.predictions.transform.dense",
        "mlm.norm": "cls.predictions.transform.LayerNorm",
        "mlm.decoder": "cls.predictions.decoder",
    },
    architectures=("BertForMaskedLM", "BertForPreTraining"),
)
NSP: Final = Head(
    name="nsp",
    title="next-sentence",
    task="nsp",
    reads=Reads.POOLED,
    width=2,
    modules={"nsp": "cls.seq_relationship"},
    architectures=("BertForNextSentencePrediction", "BertForPreTraining"),
)
POOLER: Final = Head(
    name="pooler",
    title="pooler",
    task=None,
    reads=Reads.CLS,
    modules={"pooler": "pooler.dense"},
)
SEQUENCE: Final = Head(
    name="sequence",
    title="sequence-classification",
    task="predict",
    reads=Reads.POOLED,
    modules={"sequence": "classifier"},
    architectures=("BertForSequenceClassification",),
)
TOKEN: Final = Head(
    name="token",
    title="token-classification",
    task="token-classification",
    reads=Reads.TOKENS,
    modules={"token": "classifier"},
    architectures=("BertForTokenClassification",),
)
QA: Final = Head(
    name="qa",
    title="question-answering",
    task="question-answering",
    reads=Reads.TOKENS,
    width=2,
    modules={"qa": "qa_outputs"},
    architectures=("BertForQuestionAnswering",),
)
# Of BGE-M3 (Chen et al. 2024, arXiv:2402.03216), which keeps each in a file of its own.
SPARSE: Final = Head(
    name="sparse",
    title="sparse-embedding",
    task=None,
    reads=Reads.TOKENS,
    width=1,
    modules={"sparse": "sparse_linear"},
)
MULTI_VECTOR: Final = Head(
    name="multi_vector",
    title="multi-vector",
    task=None,
    reads=Reads.TOKENS,
    of_width=True,
    modules={"multi_vector": "colbert_linear"},
)

# The graph's output of the largest logit of each word of the vocabulary among some rows, of which
# sparse vectors are made (SPLADE); only in graphs that were exported with it.
MAXIMA: Final = "mlm_maxima"

# In the order in which they are listed everywhere.
HEADS: Final = (MLM, NSP, POOLER, SEQUENCE, TOKEN, QA, SPARSE, MULTI_VECTOR)


def heads_named(names: Collection[str]) -> tuple[Head, ...]:
    """The heads of these names, in the order of `HEADS`.

    Raises:
        KeyError: there is no head of that name.

    >>> [head.task for head in heads_named(["nsp", "mlm"])]
    ['fill-mask', 'nsp']
    """
    known = {head.name: head for head in HEADS}
    if unknown := [name for name in names if name not in known]:
        raise KeyError(unknown[0])
    return tuple(head for head in HEADS if head.name in names)


def products_of(names: Collection[str], reads: Reads) -> tuple[Head, ...]:
    """The heads of these names that are one product of such rows.

    >>> [head.name for head in products_of(["mlm", "nsp", "qa"], Reads.POOLED)]
    ['nsp']
    """
    return tuple(head for head in heads_named(names) if head.is_product and head.reads is reads)
