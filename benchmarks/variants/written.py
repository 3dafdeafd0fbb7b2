"""A source and a variant -> the folder of its graph, built once."""

import hashlib
from pathlib import Path

from benchmarks.variants.catalogue import Variant
from benchmarks.variants.source import Source
from export.graph.builder import GraphBuilder


def write_graph(source: Source, variant: Variant, precision: str, folder: Path) -> Path:
    """Build the variant's graph, unless one of the same parts lies there already."""
    linear = variant.linear_of(precision)
    parts = f"{precision} {variant.graph} {linear} {variant.weights} {variant.smooth}"
    graph_folder = folder / hashlib.sha256(parts.encode()).hexdigest()[:16]
    if not graph_folder.exists():
        graph_folder.mkdir(parents=True)
        weights = variant.weights_of(precision, source)
        with GraphBuilder(graph_folder) as graph:
            variant.graph(graph, source.spec, weights, linear(graph, weights)).build()
            graph.write()
    return graph_folder
