"""Random weights in, the tiny Google-style BERT of `tiny_tf/` out, written by TensorFlow itself.

Needs TensorFlow, which nothing else here does: `pip install tensorflow-cpu==2.21.0`, then
`python tests/export/data/make_tensorflow_checkpoint.py`. Beside the checkpoint it writes what
TensorFlow reads back from it (`expected.npz`), so that the tests need no TensorFlow, and in
`partitioned_tf/` one variable as distributed training stores it.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import tensorflow as tf

FOLDER = Path(__file__).with_name("tiny_tf")
VOCABULARY = Path(__file__).with_name("vocab.txt")
V = len(VOCABULARY.read_text(encoding="utf-8").splitlines())
P, T, H, I, LAYERS = 24, 2, 12, 20, 2  # noqa: E741 (the usual letter of the intermediate size)
CONFIG = {
    "attention_probs_dropout_prob": 0.1,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": H,
    "initializer_range": 0.02,
    "intermediate_size": I,
    "max_position_embeddings": P,
    "num_attention_heads": 2,
    "num_hidden_layers": LAYERS,
    "type_vocab_size": T,
    "vocab_size": V,
}


def shapes() -> dict[str, tuple[int, ...]]:
    """Google's names and shapes for BERT with both pre-training heads; kernels are (in, out)."""
    found = {
        "bert/embeddings/word_embeddings": (V, H),
        "bert/embeddings/position_embeddings": (P, H),
        "bert/embeddings/token_type_embeddings": (T, H),
        **norm("bert/embeddings", H),
        **dense("bert/pooler", H, H),
        **dense("cls/predictions/transform", H, H),
        **norm("cls/predictions/transform", H),
        "cls/predictions/output_bias": (V,),
        "cls/seq_relationship/output_weights": (2, H),
        "cls/seq_relationship/output_bias": (2,),
    }
    for index in range(LAYERS):
        layer = f"bert/encoder/layer_{index}"
        for part in ("query", "key", "value"):
            found |= {f"{layer}/attention/self/{part}/kernel": (H, H)}
            found |= {f"{layer}/attention/self/{part}/bias": (H,)}
        found |= dense(f"{layer}/attention/output", H, H) | norm(f"{layer}/attention/output", H)
        found |= dense(f"{layer}/intermediate", H, I)
        found |= dense(f"{layer}/output", I, H) | norm(f"{layer}/output", H)
    return found


def dense(scope: str, in_: int, out: int) -> dict[str, tuple[int, ...]]:
    return {f"{scope}/dense/kernel": (in_, out), f"{scope}/dense/bias": (out,)}


def norm(scope: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{scope}/LayerNorm/gamma": (width,), f"{scope}/LayerNorm/beta": (width,)}


def write_partitioned() -> None:
    """A variable in two slices, as distributed training leaves them."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        halves = tf.compat.v1.fixed_size_partitioner(2)
        tf.compat.v1.get_variable("bert/pooler/dense/bias", shape=(10,), partitioner=halves)
        session.run(tf.compat.v1.global_variables_initializer())
        folder = FOLDER.with_name("partitioned_tf")
        saver = tf.compat.v1.train.Saver()
        saver.save(session, str(folder / "bert_model.ckpt"), write_meta_graph=False)
    (folder / "checkpoint").unlink()


def main() -> None:
    random = np.random.default_rng(7)
    FOLDER.mkdir(exist_ok=True)
    weights = {
        name: random.normal(0.0, 0.4, shape).astype(np.float32) for name, shape in shapes().items()
    }
    slots = {"bert/pooler/dense/bias/adam_m": np.ones(H, np.float32)}
    slots |= {"bert/pooler/dense/bias/adam_v": np.ones(H, np.float32)}
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        for name, value in (weights | slots).items():
            tf.compat.v1.get_variable(name, initializer=value)
        tf.compat.v1.get_variable("global_step", initializer=np.int64(3))
        session.run(tf.compat.v1.global_variables_initializer())
        saver = tf.compat.v1.train.Saver(write_version=2)
        saver.save(session, str(FOLDER / "bert_model.ckpt"), write_meta_graph=False)
    (FOLDER / "checkpoint").unlink()
    (FOLDER / "bert_config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")
    shutil.copy(VOCABULARY, FOLDER / "vocab.txt")
    reader = tf.train.load_checkpoint(str(FOLDER / "bert_model.ckpt"))
    write_partitioned()
    np.savez(FOLDER / "expected.npz", **{name: reader.get_tensor(name) for name in weights})


if __name__ == "__main__":
    main()
