"""What transformers and sentence-transformers answer to a checkpoint's own texts, and what we do.

Each comparison gives the largest difference of a number; what else differs fails at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from tests.checkpoints.row import EMBEDDING, FILL_MASK, NER, QA, RERANKER, Row
from tests.checkpoints.texts import TEXTS
from tests.running_server import Served

TOP_K = 5
Answer = Any


def difference(row: Row, checkpoint: Path, served: Served, model: str) -> float:
    """The largest difference of any number over all tasks of the row."""
    compare = {EMBEDDING: _embeddings, FILL_MASK: _masks, RERANKER: _scores, NER: _entities,
               QA: _passages}.get(row.kind, _labels)  # fmt: skip
    _require_same_tokens(row, checkpoint, served, model)
    return compare(row, checkpoint, served, model)


def _ask(served: Served, model: str, path: str, body: dict[str, Any]) -> Answer:
    response = served.post(f"/models/{model}{path}", body)
    assert response.status_code == 200, response.text
    return response.json()


def load_tokenizer(row: Row, checkpoint: Path) -> Any:
    """Transformers' own; it lower-cases where no file says so, also what has capitals."""
    told = {"do_lower_case": False} if row.tokenizer.decided_cased else {}
    return transformers.AutoTokenizer.from_pretrained(checkpoint, **told)


def _require_same_tokens(row: Row, checkpoint: Path, served: Served, model: str) -> None:
    tokenizer = load_tokenizer(row, checkpoint)
    texts = list(TEXTS[row.language])
    shown = _ask(served, model, "/tokenize", {"inputs": texts})
    for text, tokens in zip(texts, shown, strict=True):
        assert [token["id"] for token in tokens] == tokenizer(text).input_ids, text


def _embeddings(row: Row, checkpoint: Path, served: Served, model: str) -> float:
    texts = list(TEXTS[row.language])
    found = np.array(_ask(served, model, "/embed", {"inputs": texts}))
    if row.modules:
        from sentence_transformers import SentenceTransformer  # noqa: PLC0415 (a second to import)

        wanted = SentenceTransformer(str(checkpoint), device="cpu").encode(texts, batch_size=1)
    else:  # the normalised mean, which is Cloze's own choice where nothing says
        tokenizer, encoder = load_tokenizer(row, checkpoint), _load("AutoModel", checkpoint)
        wanted = np.stack([_mean(encoder, tokenizer(text, return_tensors="pt")) for text in texts])
    return float(np.abs(found - wanted).max())


def _mean(encoder: Any, encoded: Any) -> Any:
    mean = _run(encoder, encoded).last_hidden_state[0].mean(0)
    return (mean / mean.norm()).numpy()


def _load(kind: str, checkpoint: Path) -> Any:
    own = getattr(transformers, kind)
    return own.from_pretrained(checkpoint, attn_implementation="eager", dtype=torch.float32).eval()


def _run(model: Any, encoded: Any) -> Any:
    with torch.inference_mode():
        return model(**encoded)


def _pipeline(task: str, kind: str, row: Row, checkpoint: Path, **options: Any) -> Any:
    tokenizer, model = load_tokenizer(row, checkpoint), _load(kind, checkpoint)
    return transformers.pipeline(task, model=model, tokenizer=tokenizer, device="cpu", **options)


def _masks(row: Row, checkpoint: Path, served: Served, model: str) -> float:
    pipeline = _pipeline("fill-mask", "AutoModelForMaskedLM", row, checkpoint, top_k=TOP_K)
    mask, worst = pipeline.tokenizer.mask_token, 0.0
    for text in TEXTS[row.language]:
        whole = f"{text} {mask} {text[:9]}"
        body = {"inputs": whole, "parameters": {"top_k": TOP_K}}
        found, wanted = _ask(served, model, "/fill-mask", body), pipeline(whole)
        for key in ("token", "token_str", "sequence"):
            assert [one[key] for one in found] == [one[key] for one in wanted], (text, key)
        worst = max(worst, *_gaps(found, wanted))
    return worst


def _gaps(found: Sequence[Answer], wanted: Sequence[Answer]) -> list[float]:
    return [abs(one["score"] - other["score"]) for one, other in zip(found, wanted, strict=True)]


def _scores(row: Row, checkpoint: Path, served: Served, model: str) -> float:
    from sentence_transformers import CrossEncoder  # noqa: PLC0415 (a second to import)

    texts = TEXTS[row.language]
    pairs = [[texts[0], text] for text in texts]
    wanted = CrossEncoder(str(checkpoint), device="cpu").predict(pairs, batch_size=1)
    found = _ask(served, model, "/predict", {"inputs": pairs})
    return float(np.abs(np.array([one[0]["score"] for one in found]) - wanted).max())


def _labels(row: Row, checkpoint: Path, served: Served, model: str) -> float:
    kind = "AutoModelForSequenceClassification"
    pipeline = _pipeline("text-classification", kind, row, checkpoint, top_k=None)
    texts, worst = TEXTS[row.language], 0.0
    answers = _ask(served, model, "/predict", {"inputs": [[text] for text in texts]})
    for text, found in zip(texts, answers, strict=True):
        (wanted,) = pipeline([text])
        scores = {one["label"]: one["score"] for one in found}
        assert scores.keys() == {one["label"] for one in wanted}
        worst = max(worst, *[abs(scores[one["label"]] - one["score"]) for one in wanted])
    return worst


def _entities(row: Row, checkpoint: Path, served: Served, model: str) -> float:
    kind = "AutoModelForTokenClassification"
    pipeline = _pipeline("token-classification", kind, row, checkpoint)
    worst = 0.0
    for text in TEXTS[row.language]:
        body = {"inputs": text, "parameters": {"aggregation_strategy": "none"}}
        found, wanted = _ask(served, model, "/token-classification", body), pipeline(text)
        for key in ("entity", "word", "start", "end"):
            assert [one[key] for one in found] == [one[key] for one in wanted], (text, key)
        worst = max([worst, *_gaps(found, wanted)])
    return worst


def _passages(row: Row, checkpoint: Path, served: Served, model: str) -> float:
    """The best passage: its tokens by transformers' logits. Transformers 5 has no such pipeline."""
    tokenizer = load_tokenizer(row, checkpoint)
    reader = _load("AutoModelForQuestionAnswering", checkpoint)
    texts, worst = TEXTS[row.language], 0.0
    for question, context in pairwise(texts):
        out = _run(reader, tokenizer(question, context, return_tensors="pt"))
        encoded = tokenizer(question, context, return_offsets_mapping=True)
        inside = [at for at, text in enumerate(encoded.sequence_ids()) if text == 1]
        kept = torch.tensor([0, *inside])
        start = torch.softmax(out.start_logits[0, kept].double(), 0)[1:]
        end = torch.softmax(out.end_logits[0, kept].double(), 0)[1:]
        spans = torch.outer(start, end).triu().tril(14)
        first, last = divmod(int(spans.argmax()), len(inside))
        offsets = encoded.offset_mapping
        body = {
            "inputs": {"question": question, "context": context},
            "parameters": {"top_k": 1, "align_to_words": False},
        }
        found = _ask(served, model, "/question-answering", body)
        begin, stop = offsets[inside[first]][0], offsets[inside[last]][1]
        assert (found["start"], found["end"]) == (begin, stop), (question, context)
        worst = max(worst, abs(found["score"] - float(spans.max())))
    return worst
