"""A new route, task, head and family are added to a copy of the code by CONTRIBUTING.md's doors.

The copy then exports a checkpoint that has the head, or is of the family, and serves it: what the
route answers is what NumPy or transformers computes from the checkpoint's own weights.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import load_file, save_file

from tests.fine_tuned import VOCABULARY
from tests.running_server import REPOSITORY, RunningServer

TOLERANCE = 1e-5  # of a probability in float32
TEXTS = ["what a wonderful film!", "maria lopez lives in berkeley."]
TONES = 3

HEAD = """
TONE: Final = Head(
    name="tone",
    title="tone",
    task="tone",
    reads=Reads.POOLED,
    width=3,
    modules={"tone": "tone_head"},
    architectures=("BertForTone",),
)
"""
TASK = '''"""Texts in, the probabilities of three tones out."""

from collections.abc import Sequence
from functools import partial
from typing import Final

import numpy as np

from models.heads import TONE
from models.probabilities import softmax
from server.inference.runtime.packing import PooledLogits, Results, results_as
from server.inference.tasks.pairs import Cut, read_pair
from server.inference.tasks.task import Plan, Price, Proceed, ServedModel, Task, read_items


class Tone(Task[str, Cut, list[list[float]]]):
    """The probability of each tone, for each text."""

    name = "tone"
    title = TONE.title
    head = TONE

    def price(self, inputs: Sequence[str], options: Cut, model: ServedModel) -> Price:
        most = model.manifest.max_tokens
        return Price.estimate([len(text) for text in inputs], most, 256 * len(inputs))

    def plan(
        self, inputs: Sequence[str], options: Cut, model: ServedModel, proceed: Proceed
    ) -> Plan[list[list[float]]]:
        read = partial(read_pair, self.sample(), options, model)
        items, cut = read_items([(text, None) for text in inputs], read, model, proceed)

        def answer(results: Results) -> list[list[float]]:
            return softmax(np.stack(results_as(np.ndarray, results))).tolist()

        return Plan.of(items, answer, cut, 256 * len(inputs))

    def sample(self) -> PooledLogits:
        return PooledLogits(TONE)


TONE_TASK: Final = Tone()
'''
ROUTE = '''"""`POST /tone`: texts in, the probabilities of three tones out."""

from fastapi import APIRouter
from starlette.responses import Response

from server.http.routing import TASK_ERRORS, TIMED, Call, TaskRoute
from server.http.schemas import Items, Text, Truncation
from server.inference.tasks.pairs import Cut
from server.inference.tasks.tone import TONE_TASK

router = APIRouter(route_class=TaskRoute, tags=["tasks"], dependencies=[TIMED])


class ToneBody(Truncation):
    """Texts."""

    inputs: Items[Text]


@router.post("/tone", response_model=list[list[float]], responses=TASK_ERRORS)
async def tone(body: ToneBody, call: Call) -> Response:
    """Tells the tone of each text."""
    cut = Cut(bool(body.truncate))
    return await call.run(TONE_TASK, body.inputs, cut, lambda answered: answered.value, many=True)
'''
# A route on a task that is there already: it says with which probability pairs do not follow.
SECOND_ROUTE = '''"""`POST /not-next`: pairs in, the probability that the second does not follow."""

from fastapi import APIRouter
from starlette.responses import Response

from server.http.routing import TASK_ERRORS, TIMED, Call, TaskRoute
from server.http.schemas import Body, Items, Pair
from server.inference.tasks.nsp import NEXT_SENTENCE
from server.inference.tasks.pairs import Cut

router = APIRouter(route_class=TaskRoute, tags=["tasks"], dependencies=[TIMED])


class NotNextBody(Body):
    """Pairs."""

    inputs: Items[Pair]


@router.post("/not-next", response_model=list[float], responses=TASK_ERRORS)
async def not_next(body: NotNextBody, call: Call) -> Response:
    """Tells how unlikely each pair is."""
    pairs = [(pair.text, pair.text_pair) for pair in body.inputs]
    shape = lambda read: [1 - probability for probability in read.value]
    return await call.run(NEXT_SENTENCE, pairs, Cut(), shape, many=True)
'''
# An encoder whose tokens do not see those that stand far away.
FAMILY = '''"""Near: BERT whose tokens see three others to either side, and no token types."""

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from export.architectures.architecture import Architecture
from export.architectures.bert import BERT, Bert
from export.check import layers
from export.check.layers import NumpyEncoder
from export.read.config import EncoderConfig
from export.read.documents import Fields
from export.read.weights import Float32
from models.heads import NSP, Shapes

if TYPE_CHECKING:
    from export.graph.packed import PackedEncoder

FARTHEST = 3


class Near(Bert):
    """BERT with windows."""

    class_prefix = "Near"
    lacks = frozenset({NSP.name})
    weight_names = replace(BERT.weight_names, prefix="near.", layer="blocks.")

    def read_config(self, fields: Fields) -> EncoderConfig:
        """BERT's sizes."""
        return replace(super().read_config(fields), type_vocab_size=1, segments=False)

    def embedding_shapes(self, config: EncoderConfig) -> Shapes:
        """Two tables and a norm."""
        shapes = super().embedding_shapes(config)
        del shapes["embeddings.token_type"]
        return shapes

    def attention(self, encoder: "PackedEncoder", index: int, rows: str) -> tuple[str, str]:
        """Within the window."""
        return encoder.attention(index, rows, scores=encoder.places.within(FARTHEST))

    def reference_attention(self, encoder: NumpyEncoder, index: int, rows: Float32) -> Float32:
        """The same in NumPy."""
        return encoder.attention(index, rows, scores=layers.within(FARTHEST))


NEAR: Final[Architecture] = Near()
'''


class Copy:
    """A copy of the code, and which of its files were touched."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.touched: dict[str, int] = {}
        """Lines added, by file."""
        for package in ("server", "models", "export"):
            shutil.copytree(
                REPOSITORY / package,
                folder / package,
                ignore=shutil.ignore_patterns("__pycache__", "cloze-small-en"),
            )

    def write(self, name: str, text: str) -> None:
        """Adds a file."""
        assert not (self.folder / name).exists()
        (self.folder / name).write_text(text)
        self.touched[name] = len(text.splitlines())

    def insert(self, name: str, before: str, text: str) -> None:
        """Adds lines to a file, where `before` stands once."""
        old = (self.folder / name).read_text()
        assert old.count(before) == 1, f"{before!r} stands {old.count(before)} times in {name}"
        (self.folder / name).write_text(old.replace(before, text + before))
        self.touched[name] = self.touched.get(name, 0) + len(text.splitlines())

    def run(self, *arguments: object) -> None:
        """Runs the copy's code."""
        subprocess.run([sys.executable, *map(str, arguments)], cwd=self.folder, check=True)

    def serve(self, models: Path) -> RunningServer:
        """Starts the copy's server."""
        log = self.folder / "server.log"
        environment = os.environ | {"CLOZE_PORT": "0", "CLOZE_MODELS": str(models)}
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", "server"], cwd=self.folder, env=environment, stderr=stream
            )
        server = RunningServer(process, log)
        try:
            server.wait_until_ready()
        except Exception:
            server.kill()
            raise
        return server


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path / "copy")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A small BERT with the tone head, as its author would have saved it."""
    folder = tmp_path / "tone-checkpoint"
    torch.manual_seed(3)
    sizes = {"hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 3}
    config = transformers.BertConfig(
        vocab_size=len(VOCABULARY), intermediate_size=20, max_position_embeddings=24, **sizes
    )
    transformers.BertModel(config).save_pretrained(folder)
    rng = np.random.default_rng(5)
    weights = load_file(folder / "model.safetensors")
    weights["tone_head.weight"] = rng.normal(size=(TONES, 12)).astype(np.float32)
    weights["tone_head.bias"] = rng.normal(size=TONES).astype(np.float32)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    document = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(document | {"architectures": ["BertForTone"]}))
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": True})
    )
    return folder


@pytest.fixture
def near_checkpoint(checkpoint: Path) -> Path:
    """The same weights without token types and with the names of the made-up family."""
    weights = load_file(checkpoint / "model.safetensors")
    kept = {
        f"near.{name.replace('encoder.layer.', 'blocks.')}": value
        for name, value in weights.items()
        if not name.startswith(("embeddings.token_type", "tone_head"))
    }
    save_file(kept, checkpoint / "model.safetensors", metadata={"format": "pt"})
    document = json.loads((checkpoint / "config.json").read_text())
    document |= {"architectures": ["NearModel"], "model_type": "near"}
    (checkpoint / "config.json").write_text(json.dumps(document))
    return checkpoint


def near_vectors(checkpoint: Path) -> np.ndarray:
    """The normalised means of `TEXTS` with a mask for what stands farther: float32 (texts, H)."""
    tokenizer = transformers.BertTokenizer.from_pretrained(str(checkpoint))
    config = json.loads((checkpoint / "config.json").read_text())
    sizes = transformers.BertConfig(**{**config, "model_type": "bert"})
    model = transformers.BertModel(sizes, add_pooling_layer=False).eval()
    weights = load_file(checkpoint / "model.safetensors")
    state = {
        name.removeprefix("near.").replace("blocks.", "encoder.layer."): torch.from_numpy(value)
        for name, value in weights.items()
        if "pooler" not in name
    }
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert (missing, unexpected) == (["embeddings.token_type_embeddings.weight"], [])
    torch.nn.init.zeros_(model.embeddings.token_type_embeddings.weight)
    vectors = []
    for text in TEXTS:
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        place = torch.arange(ids.shape[1])
        near = (place[:, None] - place).abs() <= 3
        with torch.no_grad():
            rows = model(input_ids=ids, attention_mask=near[None, None]).last_hidden_state[0]
        mean = rows.mean(dim=0).numpy()
        vectors.append(mean / np.linalg.norm(mean))
    return np.stack(vectors)


def wanted(checkpoint: Path) -> np.ndarray:
    """What the head gives for `TEXTS`: float64 (texts, tones)."""
    tokenizer = transformers.BertTokenizer.from_pretrained(str(checkpoint))
    model = transformers.BertModel.from_pretrained(str(checkpoint))
    weights = load_file(checkpoint / "model.safetensors")
    rows = []
    for text in TEXTS:
        with torch.no_grad():
            pooled = model(**tokenizer(text, return_tensors="pt")).pooler_output[0].numpy()
        logits = pooled @ weights["tone_head.weight"].T + weights["tone_head.bias"]
        rows.append(np.exp(logits.astype(np.float64)) / np.exp(logits.astype(np.float64)).sum())
    return np.stack(rows)


def test_a_task_and_its_head_are_added_in_five_files(
    copy: Copy, checkpoint: Path, tmp_path: Path
) -> None:
    copy.insert("models/heads.py", "\n# In the order in which they are listed everywhere.", HEAD)
    heads = (copy.folder / "models/heads.py").read_text()
    (copy.folder / "models/heads.py").write_text(
        heads.replace("MULTI_VECTOR)\n", "MULTI_VECTOR, TONE)\n")
    )
    copy.write("server/inference/tasks/tone.py", TASK)
    tasks = "server/inference/tasks/__init__.py"
    copy.insert(tasks, "\nTASKS: Final", "from server.inference.tasks.tone import TONE_TASK\n")
    copy.insert(tasks, "    TOKENIZATION,\n", "    TONE_TASK,\n")
    copy.write("server/http/routes/tone.py", ROUTE)
    copy.insert("server/http/routes/__init__.py", '    "info",\n', '    "tone",\n')
    assert len(copy.touched) == 5

    copy.run("-m", "export", checkpoint, tmp_path / "models" / "toned")
    card = (tmp_path / "models" / "toned" / "README.md").read_text()
    assert "tone" in card
    server = copy.serve(tmp_path / "models")
    try:
        assert "/tone" in server.get("/info").json()["tasks"]
        answered = server.post("/tone", {"inputs": TEXTS})
        assert answered.status_code == 200, answered.text
        assert np.abs(np.array(answered.json()) - wanted(checkpoint)).max() <= TOLERANCE
        assert server.post("/models/toned/tone", {"inputs": TEXTS}).json() == answered.json()
        assert server.post("/tone", {"inputs": ["film " * 30]}).json()["code"] == "too_long"
        assert server.post("/nsp", {"inputs": ["a", "b"]}).json()["code"] == "missing_head"
        document = server.get("/openapi.json").json()
        assert {"/tone", "/models/{model}/tone"} <= set(document["paths"])
    finally:
        server.kill()


def test_a_route_on_a_head_that_is_there_is_one_file_and_one_line(
    copy: Copy, default_model: Path, tmp_path: Path
) -> None:
    copy.write("server/http/routes/not_next.py", SECOND_ROUTE)
    copy.insert("server/http/routes/__init__.py", '    "info",\n', '    "not_next",\n')
    assert sorted(copy.touched) == [
        "server/http/routes/__init__.py",
        "server/http/routes/not_next.py",
    ]
    assert copy.touched["server/http/routes/__init__.py"] == 1
    server = copy.serve(default_model)
    try:
        pair = {"text": "The train was late.", "text_pair": "Honey is made by bees."}
        unlikely = server.post("/not-next", {"inputs": [pair]}).json()[0]
        likely = server.post("/nsp", {"inputs": pair}).json()["probability"]
        assert abs(unlikely + likely - 1) <= TOLERANCE
    finally:
        server.kill()


def test_a_family_is_one_file_and_its_lines_in_the_table(
    copy: Copy, near_checkpoint: Path, tmp_path: Path
) -> None:
    copy.write("export/architectures/near.py", FAMILY)
    registry = "export/architectures/registry.py"
    copy.insert(
        registry,
        "from export.architectures.nomicbert",
        "from export.architectures.near import NEAR\n",
    )
    copy.insert(registry, '    "nomic_bert": NOMICBERT,\n', '    "near": NEAR,\n')
    assert len(copy.touched) == 2

    copy.run("-m", "export", near_checkpoint, tmp_path / "models" / "near")
    server = copy.serve(tmp_path / "models")
    try:
        answered = server.post("/embed", {"inputs": TEXTS})
        assert answered.status_code == 200, answered.text
        assert np.abs(np.array(answered.json()) - near_vectors(near_checkpoint)).max() <= TOLERANCE
    finally:
        server.kill()
