"""A tiny random BERT as transformers saves it, and a corpus of made-up sentences in its words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from training.corpus import Corpus, build_corpus
from training.evaluate.inference import Subject, load_subject

_WORDS = "the cat dog sat ran on a mat play park house tree red blue saw and then boy girl"
PLAIN_WORDS = _WORDS.split()
WORDS = (*PLAIN_WORDS, "##ing", "##ed", ".", ",", "paris", "london")
PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS)


@pytest.fixture(autouse=True, scope="session")
def quiet_transformers() -> Iterator[None]:
    """Progress bars and reports of transformers are no part of what is tested."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    yield
    transformers.logging.set_verbosity_warning()


def save_tiny(folder: Path, architecture: str = "BertForPreTraining", seed: int = 3) -> Path:
    """A checkpoint of odd sizes with all its biases random, so that none can be left out."""
    torch.manual_seed(seed)
    config = transformers.BertConfig(
        vocab_size=len(PIECES) + 2,
        hidden_size=12,
        num_hidden_layers=2,
        num_attention_heads=3,
        intermediate_size=20,
        max_position_embeddings=37,
        initializer_range=0.4,
    )
    model = getattr(transformers, architecture)(config)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.4)
    model.save_pretrained(folder)
    tokenizer = transformers.BertTokenizer(vocab={piece: i for i, piece in enumerate(PIECES)})
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint with both heads."""
    return save_tiny(tmp_path_factory.mktemp("checkpoints") / "tiny")


@pytest.fixture
def subject(tiny: Path) -> Subject:
    """The same, loaded anew for each test."""
    return load_subject(tiny)


@pytest.fixture(scope="session")
def corpus_folder(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-four documents, about half of them held out."""
    rng = np.random.default_rng(7)
    documents = []
    for _ in range(24):
        sentences = []
        for length in rng.integers(4, 13, size=int(rng.integers(6, 15))):
            words = rng.choice(PLAIN_WORDS, length).tolist()
            sentences.append(" ".join(words).capitalize() + ".")
        documents.append(" ".join(sentences))
    folder = tmp_path_factory.mktemp("corpora")
    text = folder / "text.txt"
    text.write_text("\n\n".join(documents) + "\n", encoding="utf-8")
    build_corpus([text], tiny, folder / "corpus", held_out=0.5)
    return folder / "corpus"


@pytest.fixture
def corpus(corpus_folder: Path) -> Corpus:
    """Its held-out part."""
    return Corpus.open(corpus_folder, "held-out")


@pytest.fixture
def reference(tiny: Path) -> transformers.BertForPreTraining:
    """The checkpoint as transformers runs it."""
    return transformers.BertForPreTraining.from_pretrained(tiny, dtype=torch.float32).eval()


@pytest.fixture
def prompts_file(tmp_path: Path) -> Path:
    """Five prompts in the tiny vocabulary, one of which it has no answer to."""
    prompts = [
        {"text": "The [MASK] sat on the mat.", "accept": ["cat", "dog"], "kind": "sense"},
        {"text": "The boy and the [MASK].", "accept": ["girl"], "kind": "sense"},
        {"text": "[MASK] and London.", "accept": ["paris"], "kind": "fact"},
        {"text": "A red [MASK], a blue house.", "accept": ["house", "tree"], "kind": "fact"},
        {"text": "The dog ate the [MASK].", "accept": ["bone"], "kind": "fact"},
    ]
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps(prompt) + "\n" for prompt in prompts), encoding="utf-8")
    return path
