"""The plan of training pairs."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator

import numpy as np
import pytest

from tests.training.small_corpus import corpus_of, random_corpus
from training.corpus import Corpus
from training.errors import TrainingError
from training.pairs import Pair, PairPlan, Sentences, Span, fit_pairs, plan_pairs

Example = tuple[list[int], list[int], bool]  # A, B and whether B follows A


def documents_at(corpus: Corpus, tokens: np.ndarray) -> np.ndarray:
    """The documents that tokens at these places are in: int64 (n,) -> int64 (n,)."""
    starts = corpus.sentences[corpus.documents]
    return np.searchsorted(starts, tokens, side="right") - 1


def arrays_of(plan: PairPlan) -> list[list[int]]:
    return [getattr(plan, field.name).tolist() for field in dataclasses.fields(plan)]


def google_pairs(
    documents: list[list[list[int]]], sequence_tokens: int, rng: random.Random
) -> Iterator[Example]:
    """google-research/bert, `create_instances_from_document`, without the short sequences."""
    target = sequence_tokens - 3
    for number, document in enumerate(documents):
        chunk: list[list[int]] = []
        i = 0
        while i < len(document):
            chunk.append(document[i])
            if i == len(document) - 1 or sum(map(len, chunk)) >= target:
                a_end = rng.randint(1, len(chunk) - 1) if len(chunk) >= 2 else 1
                first = [token for sentence in chunk[:a_end] for token in sentence]
                second: list[int] = []
                is_next = len(chunk) > 1 and rng.random() >= 0.5
                if is_next:
                    second = [token for sentence in chunk[a_end:] for token in sentence]
                else:
                    other = rng.choice([n for n in range(len(documents)) if n != number])
                    start = rng.randint(0, len(documents[other]) - 1)
                    for sentence in documents[other][start:]:
                        second.extend(sentence)
                        if len(second) >= target - len(first):
                            break
                    i -= len(chunk) - a_end
                while len(first) + len(second) > target:
                    longer = first if len(first) > len(second) else second
                    del longer[0 if rng.random() < 0.5 else -1]
                yield first, second, is_next
                chunk = []
            i += 1


def test_pairs_are_like_those_of_googles_script() -> None:
    rng = np.random.default_rng(0)
    lengths = [rng.integers(1, 31, 60).tolist() for _ in range(120)]
    corpus = corpus_of(lengths)
    words = iter(corpus.tokens.tolist())
    documents = [[[next(words) for _ in range(n)] for n in document] for document in lengths]
    reference = list(google_pairs(documents, 50, random.Random(0)))  # noqa: S311
    plan = plan_pairs(corpus, sequence_tokens=50, short=0, seed=0, epoch=0)
    first, second = plan.first_end - plan.first_start, plan.second_end - plan.second_start
    assert len(plan) == pytest.approx(len(reference), rel=0.02)
    assert plan.is_next.mean() == pytest.approx(np.mean([n for *_, n in reference]), abs=0.03)
    for is_next in (False, True):
        mine = first[plan.is_next == is_next], second[plan.is_next == is_next]
        for segment in (0, 1):
            sizes = [len(pair[:2][segment]) for pair in reference if pair[2] == is_next]
            assert mine[segment].mean() == pytest.approx(np.mean(sizes), abs=1)  # tokens
            assert mine[segment].std() == pytest.approx(np.std(sizes), abs=1)


def test_true_pairs_follow_and_false_ones_come_from_elsewhere() -> None:
    corpus = random_corpus()
    plan = plan_pairs(corpus, sequence_tokens=70, single=0.2, seed=1, epoch=0)
    assert 500 < len(plan) < 5000
    first = documents_at(corpus, plan.first_start)
    second = documents_at(corpus, plan.second_start)
    assert (documents_at(corpus, plan.first_end - 1) == first).all()
    assert (documents_at(corpus, plan.second_end - 1) == second).all()
    assert ((first == second) == plan.is_next).all()
    untrimmed = plan.is_next & (plan.lengths < 70)
    assert untrimmed.sum() > 50
    assert (plan.second_start == plan.first_end)[untrimmed].all()
    assert (plan.second_start >= plan.first_end)[plan.is_next].all()


@pytest.mark.parametrize("sequence_tokens", [5, 7, 64, 512])
def test_pairs_fit_and_no_segment_is_empty(sequence_tokens: int) -> None:
    plan = plan_pairs(random_corpus(), sequence_tokens=sequence_tokens, seed=1, epoch=0)
    assert plan.lengths.max() == sequence_tokens
    assert (plan.first_end > plan.first_start).all()
    assert (plan.second_end > plan.second_start).all()


def test_a_pass_covers_the_corpus_once() -> None:
    corpus = corpus_of([[1] * 97, [1] * 30, [1] * 333])  # one token each: nothing is trimmed
    plan = plan_pairs(corpus, sequence_tokens=19, short=0.3, single=0.2, seed=3, epoch=0)
    seen = np.zeros(corpus.tokens.size, dtype=int)
    for start, end in zip(plan.first_start, plan.first_end, strict=True):
        seen[start:end] += 1
    for start, end in zip(
        plan.second_start[plan.is_next], plan.second_end[plan.is_next], strict=True
    ):
        seen[start:end] += 1
    assert (seen == 1).all()


def test_half_of_the_pairs_that_can_be_true_are() -> None:
    corpus = corpus_of([[3] * 20_000, [3] * 20_000])
    plan = plan_pairs(corpus, sequence_tokens=40, short=0, seed=0, epoch=0)
    assert abs(plan.is_next.mean() - 0.5) < 4 * 0.5 / len(plan) ** 0.5


def test_the_asked_share_is_short() -> None:
    corpus = corpus_of([[1] * 40_000, [1] * 40_000])
    plan = plan_pairs(corpus, sequence_tokens=103, short=0.25, seed=0, epoch=0)
    # False pairs may also be short where the other document ends; targets are 2 to 100.
    true = plan.lengths[plan.is_next]
    assert (true < 103).mean() == pytest.approx(0.25, abs=0.06)
    assert true[true < 103].mean() == pytest.approx(3 + (2 + 100) / 2, abs=6)
    assert (plan_pairs(corpus, short=0, seed=0, epoch=0).lengths < 128).mean() < 0.02


def test_the_asked_share_is_of_single_sentences() -> None:
    corpus = corpus_of([[7, 8] * 3000] * 2)
    plan = plan_pairs(corpus, sequence_tokens=128, short=0, single=0.3, seed=0, epoch=0)
    single = plan.lengths <= 8 + 8 + 3
    assert single.mean() == pytest.approx(0.3, abs=0.06)
    assert plan.is_next[single].mean() == pytest.approx(0.5, abs=0.1)
    assert set((plan.first_end - plan.first_start)[single]) == {7, 8}
    assert (plan_pairs(corpus, short=0, seed=0, epoch=0).lengths > 30).mean() > 0.98


def test_the_asked_share_is_one_sentence_alone() -> None:
    corpus = random_corpus(documents=200)
    plan = plan_pairs(corpus, sequence_tokens=64, alone=0.6, seed=4, epoch=0)
    assert plan.alone.mean() == pytest.approx(0.6, abs=4 * 0.5 / len(plan) ** 0.5)
    assert not plan.is_next[plan.alone].any()
    assert (plan.lengths[plan.alone] == (plan.first_end - plan.first_start)[plan.alone] + 2).all()
    starts, ends = plan.first_start[plan.alone], plan.first_end[plan.alone]
    places = np.searchsorted(corpus.sentences, starts)
    assert (corpus.sentences[places] == starts).all()
    assert (corpus.sentences[places + 1] == ends).all()
    assert not plan_pairs(corpus, seed=4, epoch=0).alone.any()


def test_sentences_alone_are_cut_to_fit_and_cover_the_corpus_once() -> None:
    corpus = random_corpus()
    whole = plan_pairs(corpus, sequence_tokens=64, alone=1, seed=4, epoch=0)
    assert whole.alone.all()
    assert (whole.first_start == corpus.sentences[:-1]).all()
    assert (whole.first_end == corpus.sentences[1:]).all()
    cut = plan_pairs(corpus, sequence_tokens=20, alone=1, seed=4, epoch=0)
    assert cut.lengths.max() <= 20
    assert (cut.first_end > cut.first_start).all()


def test_random_segments_start_at_all_sentences_alike() -> None:
    corpus = corpus_of([[4] * 10, [4] * 3000, [4] * 1000])  # the short document is not favoured
    plans = [plan_pairs(corpus, sequence_tokens=20, seed=0, epoch=epoch) for epoch in range(8)]
    starts = np.concatenate([plan.second_start[~plan.is_next] for plan in plans])
    firsts = np.concatenate([plan.first_start[~plan.is_next] for plan in plans])
    others = documents_at(corpus, starts)[documents_at(corpus, firsts) == 2]
    assert len(others) > 1000
    assert (others == 0).mean() == pytest.approx(10 / 3010, abs=0.006)
    from_second = starts[documents_at(corpus, starts) == 1] - 40  # place in that document
    assert from_second.mean() == pytest.approx(6000, rel=0.05)


def test_a_plan_is_a_pure_function_of_its_arguments() -> None:
    corpus = random_corpus()
    plan = arrays_of(plan_pairs(corpus, seed=5, epoch=2))
    assert plan == arrays_of(plan_pairs(corpus, seed=5, epoch=2))
    assert plan != arrays_of(plan_pairs(corpus, seed=5, epoch=3))
    assert plan != arrays_of(plan_pairs(corpus, seed=6, epoch=2))


def test_one_document_is_an_error() -> None:
    with pytest.raises(TrainingError, match="one document"):
        plan_pairs(corpus_of([[5, 5, 5]]), seed=0, epoch=0)


def test_a_sequence_too_short_for_a_pair_is_an_error() -> None:
    with pytest.raises(TrainingError, match="4 tokens cannot hold a pair"):
        plan_pairs(random_corpus(), sequence_tokens=4, seed=0, epoch=0)


def test_pairs_are_cut_as_if_token_by_token() -> None:
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 60, (500, 2)).tolist()
    pairs = [Pair(Span(1000, 1000 + a), Span(5000, 5000 + b), is_next=True) for a, b in sizes]
    plan = fit_pairs(pairs, 47, rng)
    for row, (first, second) in enumerate(sizes):
        a, b = first, second
        while a + b > 47:
            a, b = (a - 1, b) if a > b else (a, b - 1)
        assert plan.first_end[row] - plan.first_start[row] == a
        assert plan.second_end[row] - plan.second_start[row] == b
        assert 1000 <= plan.first_start[row] < plan.first_end[row] <= 1000 + first
        assert 5000 <= plan.second_start[row] < plan.second_end[row] <= 5000 + second


def test_front_and_back_are_cut_alike() -> None:
    pairs = [Pair(Span(0, 60), Span(100, 180), is_next=False)] * 400
    plan = fit_pairs(pairs, 40, np.random.default_rng(0))
    assert abs(plan.first_start.mean() - 20) < 1  # 40 of 60 tokens go, half of them in front
    assert abs((180 - plan.second_end).mean() - 30) < 1
    assert plan.first_start.std() > 2


def test_sentences_reach_a_target_with_the_first_that_makes_it() -> None:
    sentences = Sentences(corpus_of([[4, 6, 5], [3, 3]]), random.Random(0))  # noqa: S311
    assert [sentences.reach(0, 3, target) for target in (1, 4, 5, 10, 11, 15, 99)] == [
        *(1, 1, 2, 2, 3, 3, 3)
    ]
    assert sentences.document_of(2) == (0, 3)
    assert sentences.document_of(3) == (3, 5)
    assert sentences.tokens(1, 4) == (4, 18)
    assert {sentences.cut(0, 3) for _ in range(50)} == {1, 2}
    assert sentences.cut(2, 3) == 3


def test_another_document_is_never_ones_own() -> None:
    sentences = Sentences(corpus_of([[1] * 3, [1] * 2, [1] * 4]), random.Random(0))  # noqa: S311
    starts = [sentences.elsewhere(Span(3, 5), 1).start for _ in range(300)]
    assert set(starts) == {0, 1, 2, 5, 6, 7, 8}
    assert {sentences.elsewhere(Span(0, 3), 9) for _ in range(300)} == {
        *((3, 5), (4, 5), (5, 9), (6, 9), (7, 9), (8, 9))
    }


def listed(documents: list[list[int]], unordered: list[bool]) -> Corpus:
    return dataclasses.replace(corpus_of(documents), unordered=np.array(unordered))


def test_a_list_gives_no_pairs_and_is_nobodys_second_segment() -> None:
    corpus = listed([[5, 4, 6], [7] * 9, [3, 3, 3, 3], [2] * 5], [False, True, False, True])
    lists = {1, 3}
    for epoch in range(20):
        plan = plan_pairs(corpus, sequence_tokens=20, seed=1, epoch=epoch)
        first = documents_at(corpus, plan.first_start)
        second = documents_at(corpus, plan.second_start)
        of_list = np.isin(first, list(lists))
        assert plan.alone[of_list].all()
        assert not plan.alone[~of_list].any()
        assert not np.isin(second[~of_list], list(lists)).any()
        # Every sentence of a list is there once, whole.
        spans = sorted(zip(plan.first_start[of_list].tolist(), plan.first_end[of_list].tolist(),
                           strict=True))  # fmt: skip
        wanted = [
            (corpus.sentences[number], corpus.sentences[number + 1])
            for document in sorted(lists)
            for number in range(corpus.documents[document], corpus.documents[document + 1])
        ]
        assert spans == wanted


def test_lists_change_nothing_about_the_pairs_of_other_documents() -> None:
    """With no list among them the plan is that of a corpus that knows of none."""
    corpus = random_corpus(documents=9, sentences=7)
    told = dataclasses.replace(corpus, unordered=np.zeros(9, np.bool_))
    for epoch in range(3):
        plans = [plan_pairs(one, sequence_tokens=40, seed=2, epoch=epoch) for one in (corpus, told)]
        assert arrays_of(plans[0]) == arrays_of(plans[1])


def test_random_segments_come_from_every_other_ordered_document() -> None:
    corpus = listed([[1] * 3, [1] * 2, [1] * 4, [1] * 2], [False, True, False, False])
    sentences = Sentences(corpus, random.Random(0))  # noqa: S311
    assert sentences.count == 9
    assert [sentences.sentence(place) for place in range(9)] == [0, 1, 2, 5, 6, 7, 8, 9, 10]
    assert {sentences.elsewhere(Span(5, 9), 1).start for _ in range(300)} == {0, 1, 2, 9, 10}
    assert {sentences.elsewhere(Span(9, 11), 1).start for _ in range(300)} == {
        *(0, 1, 2, 5, 6, 7, 8)
    }


def test_lists_alone_are_learnt_without_pairs() -> None:
    plan = plan_pairs(listed([[4, 3], [5]], [True, True]), sequence_tokens=9, seed=1, epoch=0)
    assert plan.alone.all()
    assert len(plan) == 3
    with pytest.raises(TrainingError, match="no document with an order; pairs need two"):
        Sentences(listed([[4, 3], [5]], [True, True]), random.Random(0))  # noqa: S311


def test_one_document_beside_lists_is_too_few() -> None:
    with pytest.raises(TrainingError, match="one document with an order; pairs need two"):
        plan_pairs(listed([[4, 3], [5]], [True, False]), sequence_tokens=9, seed=1, epoch=0)
