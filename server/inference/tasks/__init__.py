"""What each task asks of the encoder and makes of its results: one module a task.

`TASKS` is the registry: `/info` lists it, models are warmed by it. No task knows of queues or HTTP.
"""

from typing import Any, Final

from server.inference.tasks.decoding import DECODING
from server.inference.tasks.embed import EMBED
from server.inference.tasks.embed_all import EMBED_ALL
from server.inference.tasks.embed_sparse import EMBED_SPARSE
from server.inference.tasks.fill_mask import FILL_MASK
from server.inference.tasks.nsp import NEXT_SENTENCE
from server.inference.tasks.question_answering import QUESTION_ANSWERING
from server.inference.tasks.rerank import RERANK
from server.inference.tasks.score import SCORE
from server.inference.tasks.similarity import SIMILARITY
from server.inference.tasks.task import Task
from server.inference.tasks.text_classification import TEXT_CLASSIFICATION
from server.inference.tasks.token_classification import TOKEN_CLASSIFICATION
from server.inference.tasks.tokenization import TOKENIZATION
from server.inference.tasks.zero_shot import ZERO_SHOT

TASKS: Final[tuple[Task[Any, Any, Any], ...]] = (
    EMBED,
    EMBED_ALL,
    EMBED_SPARSE,
    SIMILARITY,
    FILL_MASK,
    SCORE,
    NEXT_SENTENCE,
    TEXT_CLASSIFICATION,
    RERANK,
    ZERO_SHOT,
    TOKEN_CLASSIFICATION,
    QUESTION_ANSWERING,
    TOKENIZATION,
    DECODING,
)
