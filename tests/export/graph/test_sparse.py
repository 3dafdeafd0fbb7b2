"""The largest logits of words in the graph, in every precision, against transformers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from export.check import parity
from export.read.checkpoint import read_checkpoint
from export.write.model_folder import LINEARS
from models.heads import MAXIMA
from tests.export.built_graph import BuiltGraph, build_graph, difference, nothing_wanted
from tests.export.torch_bert import tiny_texts

# Largest difference of a logit, in proportion to the largest of all.
TOLERANCES = {"fp32": 1e-5, "fp16": 5e-3, "int8": 0.1}
Build = Callable[[str], BuiltGraph]


@pytest.fixture
def build(bert: Path, tmp_path: Path) -> Build:
    """`build("int8")`: the graph of the tiny BertForPreTraining with the output."""
    checkpoint = replace(read_checkpoint(bert), sparse=True)
    return lambda precision: build_graph(
        checkpoint, tmp_path / precision, linear=LINEARS[precision]
    )


@pytest.mark.parametrize("precision", LINEARS)
def test_largest_logits_are_those_of_transformers(bert: Path, build: Build, precision: str) -> None:
    found = build(precision).run(tiny_texts())[MAXIMA]
    model = transformers.BertForPreTraining.from_pretrained(str(bert)).eval()
    wanted = []
    for text in tiny_texts():
        with torch.no_grad():
            output = model(
                input_ids=torch.from_numpy(text.ids)[None],
                token_type_ids=torch.from_numpy(text.type_ids)[None],
            )
        wanted.append(output.prediction_logits[0].max(dim=0).values.numpy())
    scale = np.abs(wanted).max()
    assert difference(found, np.stack(wanted)) <= TOLERANCES[precision] * scale


@pytest.mark.parametrize("precision", LINEARS)
def test_no_groups_give_no_words(build: Build, precision: str) -> None:
    graph = build(precision)
    none = {"sparse_index": np.zeros((0, 1), np.int64)}
    found = parity.run_feeds(graph.session, nothing_wanted(graph) | none)
    assert found[MAXIMA].shape == (0, graph.spec.config.vocab_size)


def test_a_graph_has_the_output_only_if_it_is_asked_for(bert: Path, tmp_path: Path) -> None:
    graph = build_graph(read_checkpoint(bert), tmp_path / "graph")
    assert MAXIMA not in {node.name for node in graph.session.get_outputs()}
    assert "sparse_index" not in {node.name for node in graph.session.get_inputs()}
