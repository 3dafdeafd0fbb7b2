"""What is read of pipelines and of a process when Prometheus asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from server import __version__
from server.collectors import PipelineCollector, ProcessStateCollector
from server.inference.admission import Admission
from server.inference.pipeline import Pipeline
from server.inference.tasks.embed import EMBED, EmbedOptions
from server.inference.tasks.fill_mask import FILL_MASK, FillMaskOptions
from server.settings import Settings
from tests.server.inference.conftest import resources, run_task

LABELS = {"model": "m"}
SHORT, LONG = "a", "a b c d e f g"  # of 3 and 9 tokens


@pytest.fixture
def pipeline(default_model: Path) -> Iterator[Pipeline]:
    """One that is warm, as a server's are before they answer."""
    pipeline = Pipeline(default_model, resources(threads=1))
    pipeline.start()
    pipeline.warm()
    yield pipeline
    pipeline.close()


@pytest.fixture
def registry(pipeline: Pipeline) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(PipelineCollector(lambda: {"m": pipeline}))
    return registry


def test_warming_counts_for_nobody(registry: CollectorRegistry) -> None:
    for name in ("padding_tokens", "last_layer_rows", "vocabulary_rows"):
        assert registry.get_sample_value(f"cloze_spared_{name}_total", LABELS) == 0
    assert registry.get_sample_value("cloze_batch_tokens_count", LABELS) == 0


def test_batches_are_counted_by_their_size(registry: CollectorRegistry, pipeline: Pipeline) -> None:
    for texts in ([SHORT], [LONG], [LONG, LONG]):
        run_task(pipeline, EMBED, texts, EmbedOptions())

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, LABELS | labels)

    # Two texts are two batches where two cores are idle.
    batches = value("cloze_batches_total")
    assert batches == value("cloze_batch_items_count") == value("cloze_batch_tokens_count")
    assert batches == value("cloze_batch_tokens_bucket", le="+Inf")
    assert value("cloze_batch_items_bucket", le="1.0") == (4 if batches == 4 else 2)
    assert value("cloze_batch_items_bucket", le="2.0") == batches
    assert value("cloze_batch_items_sum") == 4 == value("cloze_items_total")
    assert value("cloze_batch_tokens_sum") == 30 == value("cloze_tokens_total")
    assert value("cloze_batch_budget_tokens") == 512
    assert value("cloze_spared_padding_tokens_total") == 0


def test_what_no_mask_needs_is_spared(registry: CollectorRegistry, pipeline: Pipeline) -> None:
    tokens = run_task(pipeline, FILL_MASK, ["one [MASK] two"], FillMaskOptions()).usage.tokens
    for name in ("last_layer_rows", "vocabulary_rows"):
        assert registry.get_sample_value(f"cloze_spared_{name}_total", LABELS) == tokens - 1


def test_the_version_is_a_label() -> None:
    registry = CollectorRegistry()
    registry.register(ProcessStateCollector(Admission(Settings()), lambda: True))
    assert registry.get_sample_value("cloze_build_info", {"version": __version__}) == 1
