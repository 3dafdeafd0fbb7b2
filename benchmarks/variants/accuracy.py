"""A variant's graph -> how near its answers are to the reference's, on the exporter's sentences."""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.results import Sample
from benchmarks.variants.catalogue import Variant
from benchmarks.variants.opened import open_session
from benchmarks.variants.source import Source
from export.check.quantization_error import measure_drift

MEASURES = {
    "embedding_cosine_mean": "cosine",
    "embedding_cosine_worst": "worst cosine",
    "mlm_top1_agreement": "best word",
}


def accuracy(source: Source, graph: Path, variant: Variant, precision: str) -> Iterator[Sample]:
    """Measure cosines of vectors and agreement of the best word."""
    session = open_session(graph, variant.opening)
    drift = measure_drift(session, source.weights, source.spec, source.tokenizer_json)
    for name, measure in MEASURES.items():
        if name in drift:
            yield Sample(precision, variant.name, measure, drift[name])
