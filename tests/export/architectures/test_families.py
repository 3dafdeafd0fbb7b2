"""Every family and every class of it that transformers has: reference, graph, precisions, back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from export.architectures.registry import architecture_of, class_of, classes_of, count_parameters
from export.check import quantization_error, reference
from export.check.layers import Text
from export.read.checkpoint import read_checkpoint
from export.read.weights import Float32
from export.restore.__main__ import restore
from export.write.model_folder import LINEARS, export_model
from models.graph_file import require_graph
from models.heads import MLM, Reads, products_of
from models.manifest import load_manifest
from tests import families
from tests.export.built_graph import BuiltGraph, build_graph, difference
from tests.families import FAMILIES, Made

PARITY = 1e-5  # absolute, vectors and scores, against transformers
SAME = 1e-5  # absolute, a text alone and among others
MEANS = {
    "pooled",
    "sequence_logits",
    "nsp_logits",
}  # what sums a text's rows; in int8 all else is the same bits
HALF = 0.05  # absolute, float16 against the reference
COSINE = 0.98  # of the mean of a text's rows in int8 and in float32
MODELS = [(name, kind) for name, family in FAMILIES.items() for kind in family.classes]
# Of each family, the one that has the most to quantise.
CHOSEN = [
    (name, family.classes[min(1, len(family.classes) - 1)]) for name, family in FAMILIES.items()
]
Make = Callable[[str, str], Made]


@pytest.fixture(autouse=True)
def few_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    """What int8 and float16 change is measured on one or two dozen sentences, not on all."""
    monkeypatch.setattr(quantization_error, "OPERATIONS", 4e7)


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """`make("roberta", "ForMaskedLM")`: a checkpoint in a folder, the same for all who ask."""
    known: dict[tuple[str, str], Made] = {}

    def make(name: str, kind: str) -> Made:
        if (name, kind) not in known:
            folder = tmp_path_factory.mktemp(name.replace(" ", "-")) / kind.lower()
            known[name, kind] = families.make(name, kind, folder)
        return known[name, kind]

    return make


def by_text(graph: BuiltGraph, texts: Sequence[Text]) -> Iterator[dict[str, Float32]]:
    """The outputs of a graph that reads every row, for each text."""
    found, heads = graph.run(texts), graph.spec.heads
    of_rows = [head.output for head in products_of(heads, Reads.TOKENS)] + ["token_vectors"]
    of_rows += ["mlm_log_probabilities"] if MLM.name in heads else []
    of_texts = [head.output for head in products_of(heads, Reads.POOLED)]
    ends = np.cumsum([len(text.ids) for text in texts])
    for index, (end, text) in enumerate(zip(ends, texts, strict=True)):
        rows = slice(end - len(text.ids), end)
        one = {name: found[name][index] for name in ("pooled", "pooled_max", *of_texts)}
        yield one | {name: found[name][rows] for name in of_rows}


@pytest.mark.parametrize(("name", "kind"), MODELS)
def test_reference_and_graph_compute_what_transformers_does(
    make: Make, tmp_path: Path, name: str, kind: str
) -> None:
    made = make(name, kind)
    config, weights = made.checkpoint.config, made.checkpoint.weights
    architecture = architecture_of(config)
    assert (
        set(made.checkpoint.heads) - {"pooler"}
        == classes_of(architecture)[architecture.class_prefix + kind]
    )
    texts = made.texts
    wanted = [made.wanted(text) for text in texts]
    graph = build_graph(made.checkpoint, tmp_path / "graph")
    found = list(by_text(graph, texts))
    encoded = reference.encode(weights, config, texts)
    for text, theirs, ours, plain in zip(texts, wanted, found, encoded, strict=True):
        assert difference(plain.last, theirs["token_vectors"]) <= PARITY
        assert difference(plain.second_to_last, theirs.pop("before")) <= PARITY
        for output, value in theirs.items():
            assert difference(ours[output], value) <= PARITY, output
        mean = theirs["token_vectors"].mean(axis=0)
        assert difference(ours["pooled"], mean) <= PARITY
        assert len(text.ids) == len(plain.last)


def alone_and_together(
    graph: BuiltGraph, texts: Sequence[Text]
) -> Iterator[tuple[str, Float32, Float32]]:
    """Every output of every text by itself, and in three batches with others around it."""
    alone = [next(by_text(graph, [text])) for text in texts]
    for order in ((0, 1, 2, 3, 4), (4, 2, 0), (1, 3, 1, 2)):
        batch = [texts[index] for index in order]
        for index, together in zip(order, by_text(graph, batch), strict=True):
            for name, value in together.items():
                yield name, alone[index][name], value


@pytest.mark.parametrize("name", FAMILIES)
def test_text_does_not_depend_on_its_batch_by_any_head(tmp_path: Path, name: str) -> None:
    made = families.make(
        name, FAMILIES[name].classes[0], tmp_path / "checkpoint", max_position_embeddings=520
    )
    checkpoint = families.with_every_head(made.checkpoint)
    texts = made.texts_of(families.LONG_LENGTHS)
    exact = {}
    for precision, linear in LINEARS.items():
        graph = build_graph(checkpoint, tmp_path / precision, linear=linear)
        close = HALF if precision == "fp16" else SAME
        for output, alone, together in alone_and_together(graph, texts):
            assert difference(alone, together) <= close, (precision, output)
            if precision == "int8" and output not in MEANS:
                np.testing.assert_array_equal(alone, together, err_msg=output)
        exact[precision] = list(by_text(graph, texts))
    for single, half in zip(exact["fp32"], exact["fp16"], strict=True):
        assert single.keys() == half.keys()
        for output, value in single.items():
            assert difference(half[output], value) <= 2 * HALF, output


@pytest.mark.parametrize(("name", "kind"), CHOSEN)
def test_rows_that_are_read_do_not_depend_on_the_others_read(
    make: Make, tmp_path: Path, name: str, kind: str
) -> None:
    made = make(name, kind)
    graph = build_graph(made.checkpoint, tmp_path / "graph")
    texts = made.texts[:3]
    some = graph.run(texts, [[0, 2], [0, 9, 4], [0, 28]])["token_vectors"]
    everything = graph.run(texts)["token_vectors"]
    assert difference(some, everything[[0, 2, 3, 12, 7, 14, 42]]) <= SAME


@pytest.mark.parametrize(("name", "kind"), CHOSEN)
def test_family_is_exported_in_every_precision_and_restored(
    make: Make, tmp_path: Path, name: str, kind: str
) -> None:
    made = make(name, kind)
    config = made.checkpoint.config
    manifests = {}
    for precision in LINEARS:
        out = tmp_path / precision
        named = dataclasses.replace(made.checkpoint, name=precision)
        export_model(named, out, precision=precision, progress=lambda _: None)
        manifests[precision] = load_manifest(out)
        require_graph(out, manifests[precision])
    assert max(manifests["fp32"].parity.values()) <= PARITY
    assert max(manifests["fp16"].parity.values()) <= HALF
    assert manifests["int8"].quantization_error["embedding_cosine_worst"] >= COSINE
    assert manifests["fp32"].architecture.segments == config.segments

    restore(tmp_path / "fp32", tmp_path / "restored")
    again = read_checkpoint(tmp_path / "restored")
    assert again.config == config
    assert again.heads == made.checkpoint.heads
    for weight, value in made.checkpoint.weights.items():
        np.testing.assert_array_equal(again.weights[weight], value)
    if FAMILIES[name].prepare is not None:
        return
    theirs = type(made.model).from_pretrained(tmp_path / "restored").eval()
    text = made.texts[1]
    loaded = dataclasses.replace(made, model=theirs).wanted(text)
    for output, value in made.wanted(text).items():
        np.testing.assert_array_equal(loaded[output], value)


@pytest.mark.parametrize(("name", "kind"), CHOSEN)
def test_int8_that_came_back_is_the_same_to_the_bit(
    make: Make, tmp_path: Path, name: str, kind: str
) -> None:
    made = make(name, kind)
    export_model(made.checkpoint, tmp_path / "one", precision="int8", progress=lambda _: None)
    restore(tmp_path / "one", tmp_path / "restored")
    again = dataclasses.replace(read_checkpoint(tmp_path / "restored"), name=made.checkpoint.name)
    export_model(again, tmp_path / "two", precision="int8", progress=lambda _: None)
    one, two = ((tmp_path / half / "model.onnx.data").read_bytes() for half in ("one", "two"))
    assert one == two


@pytest.mark.parametrize(("name", "kind"), MODELS)
def test_parameters_are_those_of_transformers(make: Make, name: str, kind: str) -> None:
    made = make(name, kind)
    counted = {id(p): p.numel() for p in made.model.parameters()}
    ignored = set(made.checkpoint.ignored)
    unused = sum(p.numel() for key, p in made.model.named_parameters() if key in ignored)
    tied = "mlm.decoder.weight" not in made.checkpoint.weights
    ours = count_parameters(made.checkpoint.config, made.checkpoint.heads, tied=tied)
    assert ours["total"] == sum(counted.values()) - unused


@pytest.mark.parametrize(("name", "kind"), MODELS)
def test_class_is_found_again_by_its_heads(make: Make, name: str, kind: str) -> None:
    made = make(name, kind)
    found = class_of(architecture_of(made.checkpoint.config), made.checkpoint.heads)
    heads = classes_of(architecture_of(made.checkpoint.config))
    assert heads[found] == heads[type(made.model).__name__]
