"""Embeddings of pairs, triplets and scored pairs: pooled, compared and trained as in sentence-transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from msplora_search.adapters.bank import attach
from msplora_search.design.pyramid import Pyramid
from msplora_search.errors import InputError
from msplora_search.proxy.workbench import Workbench
from msplora_search.settings import StudySettings
from msplora_search.settings.task import TaskSettings
from msplora_search.tasks.backbone import load_backbone
from msplora_search.tasks.contrast import SCALE, blocked, contrastive_loss, own_ranks, scored_loss
from msplora_search.tasks.embedding import Embedding
from msplora_search.tasks.metrics import metric
from msplora_search.tasks.pooling import Pooling, pooling_of
from msplora_search.tasks.processors import load_processor
from msplora_search.tasks.task import Task, prepare
from tests.small import save_model
from tests.tasks.embedded import add_sentence_files, embedding_of, pairs, ranks_one_by_one, scored
from tests.tasks.models import save_llama, save_t5, save_vit


def task_of(settings: StudySettings) -> Task:
    return prepare(settings, load_processor(settings))


def learned(settings: StudySettings) -> tuple[Workbench, list[Any]]:
    bench = Workbench.load(settings)
    pyramid = Pyramid.lora(4, bench.layers, bench.space().targets[0])
    return bench, list(bench.measure(pyramid, 2e-2))


# Settings


@pytest.mark.parametrize(
    ("task", "metric_name"),
    [({}, "recall@1"), ({"label": "score"}, "spearman"), ({"text": ["a", "b", "c"]}, "recall@1")],
)
def test_the_metric_goes_with_the_data(task: dict[str, Any], metric_name: str) -> None:
    found = TaskSettings.model_validate({"kind": "embedding", "dataset": "x", **task})
    assert found.metric == metric_name
    assert found.has_negatives == ("label" not in task)
    assert TaskSettings.model_validate(found.model_dump(mode="json")) == found


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ({"text": ["a"]}, "has 1 column; embedding reads two"),
        ({"text": ["a", "b", "c", "d"]}, "at most 3"),
        ({"text": ["a", "b", "c"], "label": "s"}, "is the score of two texts, but text has three columns"),
        ({"metric": "spearman"}, "needs label, the score of each pair; without it there is recall@1"),
        ({"label": "s", "metric": "recall@5"}, "is recall@5, which is of pairs without a label"),
        ({"metric": "accuracy"}, "embedding does not have; it has recall@1"),
        ({"metric": "recall@3"}, "recall@10"),
        ({"pooling": "max"}, "'auto', 'mean', 'cls' or 'last'"),
        ({"kind": "text-classification", "pooling": "mean"}, "is not read by text-classification"),
        ({"kind": "text-classification", "text": ["a", "b", "c"]}, "text-classification reads one or two"),
        ({"kind": "text-classification", "metric": "recall@1"}, "text-classification does not have"),
    ],
)
def test_what_does_not_go_together_is_refused(task: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("(", r"\(")):
        TaskSettings.model_validate({"kind": "embedding", "dataset": "x", **task})


# Pooling


def test_pooling_looks_at_the_tokens_that_are_there() -> None:
    tokens = torch.arange(12.0).reshape(2, 3, 2)
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    assert torch.equal(Pooling("mean").of(tokens, mask), torch.tensor([[1.0, 2.0], [8.0, 9.0]]))
    assert torch.equal(Pooling("cls").of(tokens, mask), torch.tensor([[0.0, 1.0], [6.0, 7.0]]))
    assert torch.equal(Pooling("last").of(tokens, mask), torch.tensor([[2.0, 3.0], [10.0, 11.0]]))
    short = Pooling("mean", normalise=True).of(tokens.bfloat16(), mask)
    assert short.dtype == torch.float32
    assert torch.allclose(short.norm(dim=1), torch.ones(2))


@pytest.mark.parametrize("older", [True, False])
@pytest.mark.parametrize(("mode", "ours"), [("mean", "mean"), ("cls", "cls"), ("lasttoken", "last")])
def test_pooling_is_as_the_models_files_say(tmp_path: Path, mode: str, ours: str, older: bool) -> None:
    folder = save_model(tmp_path / "model")
    assert pooling_of("auto", str(folder)) == Pooling("mean")
    add_sentence_files(folder, mode, older=older)
    assert pooling_of("auto", str(folder)) == Pooling(ours)
    add_sentence_files(folder, mode, "Normalize", older=older)
    assert pooling_of("auto", str(folder)) == Pooling(ours, normalise=True)
    assert pooling_of("cls", str(folder)) == Pooling("cls")


def test_a_decoder_is_read_at_its_last_token(tmp_path: Path) -> None:
    assert pooling_of(None, str(save_llama(tmp_path / "model"))) == Pooling("last")


@pytest.mark.parametrize(
    ("mode", "further", "said"),
    [
        ("max", [], "config.json pools by 'max'; known are mean, cls, lasttoken"),
        ("mean", ["Dense"], "modules.json has a module 'Dense'"),
    ],
)
def test_what_cannot_be_done_as_the_files_say_is_refused(
    tmp_path: Path, mode: str, further: list[str], said: str
) -> None:
    settings = embedding_of(tmp_path)
    add_sentence_files(tmp_path / "model", mode, *further)
    with pytest.raises(InputError, match=said) as caught:
        Workbench.load(settings)
    assert "set task.pooling to mean, cls or last" in str(caught.value)
    assert Workbench.load(embedding_of(tmp_path, pooling="cls")).task.chance > 0


@pytest.mark.parametrize("text", ["{", "[1]", "[]", '[{"type": "Transformer"}, {"type": "x.Pooling"}]'])
def test_files_that_are_no_json_are_refused_in_one_line(tmp_path: Path, text: str) -> None:
    folder = save_model(tmp_path / "model")
    (folder / "modules.json").write_text(text)
    with pytest.raises(InputError, match=r"set task\.pooling to mean, cls or last") as caught:
        pooling_of("auto", str(folder))
    assert "\n" not in str(caught.value)


# Losses and ranks


NUMBERS = st.integers(2, 9).flatmap(
    lambda rows: st.lists(st.lists(st.integers(0, 6), min_size=3, max_size=3), min_size=rows, max_size=rows)
)


@given(numbers=NUMBERS, texts=st.sampled_from([2, 3]))
def test_no_text_is_the_negative_of_what_it_belongs_to(numbers: list[list[int]], texts: int) -> None:
    rows = torch.tensor(numbers)[:, :texts]
    found = blocked(rows)
    count = len(rows)
    assert found.shape == (count, (texts - 1) * count)
    for i in range(count):
        for j in range(found.shape[1]):
            column, row = 1 + j // count, j % count
            text = rows[row, column]
            equal = text in (rows[i, 1], rows[i, 0]) or (column == 1 and rows[row, 0] == rows[i, 0])
            assert bool(found[i, j]) == (bool(equal) and j != i)


@given(numbers=NUMBERS)
def test_the_loss_is_the_cross_entropy_of_the_own_positive(numbers: list[list[int]]) -> None:
    rows, draw = torch.tensor(numbers), torch.Generator().manual_seed(len(numbers))
    embeddings = torch.randn(len(rows), 3, 4, generator=draw)
    unit, out = embeddings / embeddings.norm(dim=-1, keepdim=True), blocked(rows)
    each = []
    for i in range(len(rows)):
        others = [(j, unit[j % len(rows), 1 + j // len(rows)]) for j in range(2 * len(rows)) if not out[i, j]]
        scores = torch.stack([SCALE * unit[i, 0] @ other for _, other in others])
        each.append(-scores.log_softmax(0)[[j for j, _ in others].index(i)])
    assert float(contrastive_loss(embeddings, rows)) == pytest.approx(float(torch.stack(each).mean()), abs=1e-4)


def test_bf16_around_it_does_not_make_the_loss_coarse() -> None:
    embeddings = torch.randn(16, 2, 32, generator=torch.Generator().manual_seed(0))
    numbers = torch.arange(32).reshape(2, 16).T
    plain = contrastive_loss(embeddings, numbers)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(contrastive_loss(embeddings, numbers), plain)


@pytest.mark.slow
@pytest.mark.parametrize("texts", [2, 3])
def test_losses_are_those_of_sentence_transformers(tmp_path: Path, texts: int) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer import losses
    from sentence_transformers.sentence_transformer.modules import Pooling as TheirPooling

    embeddings = torch.randn(12, texts, 32, generator=torch.Generator().manual_seed(0))
    steps = Transformer(str(save_model(tmp_path / "model")))
    theirs = losses.MultipleNegativesRankingLoss(SentenceTransformer(modules=[steps, TheirPooling(32)]))
    expected = theirs.compute_loss_from_embeddings([embeddings[:, i] for i in range(texts)], torch.zeros(12))
    ours = contrastive_loss(embeddings, torch.arange(12 * texts).reshape(texts, 12).T)
    assert float(ours) == pytest.approx(float(expected), rel=1e-5)
    if texts == 2:
        scores = torch.linspace(0, 1, 12)
        cosine = losses.CosineSimilarityLoss(SentenceTransformer(modules=[steps, TheirPooling(32)]))
        found = cosine.compute_loss_from_embeddings(list(embeddings.unbind(1)), scores)
        assert float(scored_loss(embeddings, scores)) == pytest.approx(float(found), rel=1e-5)


@given(
    numbers=st.lists(st.integers(0, 4), min_size=1, max_size=12),
    cells=st.lists(st.integers(-2, 2), min_size=48, max_size=48),
)
def test_ranks_are_those_found_one_by_one(numbers: list[int], cells: list[int]) -> None:
    count = len(numbers)
    vectors = np.array(cells, dtype=np.float32).reshape(-1, 2)
    anchors, positives = vectors[:count], vectors[12 : 12 + count]
    positives = positives[[numbers.index(number) for number in numbers]]  # equal texts have equal vectors
    found = own_ranks(anchors, positives, np.array(numbers))
    assert found.tolist() == ranks_one_by_one(anchors, positives, [str(number) for number in numbers])


def test_a_model_that_tells_nothing_apart_finds_nothing() -> None:
    same = np.ones((5, 3), dtype=np.float32)
    assert own_ranks(same, same, np.arange(5)).tolist() == [5] * 5
    assert own_ranks(np.full_like(same, np.nan), same, np.arange(5)).tolist() == [5] * 5


# The kind


def test_pairs_are_learned_and_ranks_are_among_the_whole_part(tmp_path: Path) -> None:
    bench, curve = learned(embedding_of(tmp_path))
    task = bench.task
    assert bench.backbone.head == ()
    assert bench.head_params == 0
    assert curve[-1].metric > 3 * task.chance
    assert [len(evaluation.predictions) for evaluation in curve] == [64, 64]  # the whole part at every rung
    last = curve[-1]
    assert last.predictions.dtype == np.int64
    assert 1 <= last.predictions.min() <= last.predictions.max() <= len(np.unique(task.validation.truth))
    assert last.metric == pytest.approx((last.predictions <= 1).mean())
    kept = task.judge(task.validation).measure(last.predictions)
    assert kept.metric_se == pytest.approx(last.metric_se)
    assert "without adapters the model has recall@1 0." in task.note


def test_ranks_are_of_the_models_own_vectors(tmp_path: Path) -> None:
    bench = Workbench.load(embedding_of(tmp_path))
    task, kind = bench.task, bench.task.kind
    assert isinstance(kind, Embedding)
    batch = task.collate(task.validation, np.arange(40))
    with torch.no_grad():
        vectors = kind.predict(bench.backbone.model, batch).numpy()
        tokens = bench.backbone.model(
            input_ids=batch.inputs["1.input_ids"], attention_mask=batch.inputs["1.attention_mask"]
        ).last_hidden_state
    mask = batch.inputs["1.attention_mask"].unsqueeze(-1)
    by_hand = F.normalize((tokens * mask).sum(1) / mask.sum(1), dim=-1)
    assert vectors.shape == (40, 64)
    assert np.allclose(vectors[:, 32:], by_hand, atol=1e-6)
    texts = [str(number) for number in task.validation.truth[:40]]
    measure = task.measure(task.validation, vectors)
    assert measure.predictions.tolist() == ranks_one_by_one(vectors[:, :32], vectors[:, 32:], texts)


def test_triplets_are_learned(tmp_path: Path) -> None:
    settings = embedding_of(
        tmp_path, pairs(400, texts=3), text=["anchor", "positive", "negative"], metric="recall@5"
    )
    bench, curve = learned(settings)
    assert bench.task.collate(bench.task.train, np.arange(4)).targets.shape == (4, 3)
    assert curve[-1].metric > 2 * bench.task.chance


def test_scores_are_learned_on_a_scale_from_0_to_1(tmp_path: Path) -> None:
    rows = [{**row, "score": 10 * row["score"] - 5} for row in scored(400)]
    bench, curve = learned(embedding_of(tmp_path, rows, label="score"))
    assert set(np.unique(bench.task.validation.truth)) == {0.0, 0.5, 1.0}
    assert "scores from -5 to 15 count as 0 to 1" in bench.task.note
    assert bench.task.chance == 0.0
    assert curve[-1].metric > 0.5
    assert curve[-1].metric == pytest.approx(
        metric("spearman").score(bench.task.validation.truth, curve[-1].predictions)
    )


def test_chance_is_a_random_order_of_the_different_positives(tmp_path: Path) -> None:
    rows = [{**row, "positive": f"good {row['positive']}" if i % 2 else "good film"} for i, row in
            enumerate(pairs(400))]  # fmt: skip
    task = task_of(embedding_of(tmp_path, rows, metric="recall@5"))
    different = len(np.unique(task.validation.truth))
    assert different < len(task.validation)
    assert task.chance == pytest.approx(5 / different)
    assert "of 400 positives differ" in task.note
    draw = np.random.default_rng(0)
    found = []
    for _ in range(30):
        vectors = draw.normal(size=(len(task.validation), 16)).astype(np.float32)
        found.append(
            task.measure(task.validation, vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).metric
        )
    assert np.mean(found) == pytest.approx(task.chance, abs=0.02)


def test_texts_that_are_cut_to_the_same_tokens_are_the_same(tmp_path: Path) -> None:
    rows = [{"anchor": f"good {'the ' * i}", "positive": "film " * 20 + "bad " * (i + 1)} for i in range(40)]
    rows[0]["positive"] = "great"
    task = task_of(embedding_of(tmp_path, rows))
    assert len(np.unique(task.train.corpus.truth)) == 2
    with pytest.raises(InputError, match="column 'positive' has a single text to the model"):
        task_of(embedding_of(tmp_path, rows[1:]))


@pytest.mark.parametrize(
    ("rows", "task", "said"),
    [
        ([{"anchor": "a", "positive": ["b"]}] * 30, {}, "row 1 of column 'positive' is"),
        ([{"anchor": "a", "positive": " "}] * 30, {}, "column 'positive' is empty everywhere"),
        ([{"anchor": "a", "other": "b"}] * 30, {}, "task.text is 'positive', no such column"),
        ([{"anchor": "a", "positive": "b", "s": 3}] * 30, {"label": "s"}, "label column 's' is 3 everywhere"),
        ([{"anchor": "a", "positive": "b", "s": "so"}] * 30, {"label": "s"}, "row 1 of label column 's' is 'so'"),
    ],
)
def test_cells_that_cannot_be_used_are_named(
    tmp_path: Path, rows: list[dict[str, Any]], task: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        task_of(embedding_of(tmp_path, rows, **task))


# Models


def test_nothing_is_trained_or_counted_but_adapters(tmp_path: Path) -> None:
    """Whether the checkpoint has the layer on the first token or not."""
    settings = embedding_of(tmp_path)
    backbone = load_backbone(settings, load_processor(settings), ())
    assert (backbone.head, backbone.drawn) == ((), ())
    assert isinstance(backbone.model.pooler, torch.nn.Module)  # the checkpoint's own
    attach(backbone.model, Pyramid.lora(1, 2, ("query",)), trainable=backbone.head)
    trained = [name for name, parameter in backbone.model.named_parameters() if parameter.requires_grad]
    assert trained
    assert not [name for name in trained if "pooler" in name]
    file = tmp_path / "model" / "model.safetensors"
    kept = {name: tensor for name, tensor in load_file(file).items() if "pooler" not in name}
    save_file(kept, file, metadata={"format": "pt"})
    again = load_backbone(settings, load_processor(settings), ())
    assert (again.head, again.drawn) == ((), ())
    assert again.model.pooler is None


def test_a_checkpoint_without_a_layers_weights_is_refused(tmp_path: Path) -> None:
    settings = embedding_of(tmp_path)
    file = tmp_path / "model" / "model.safetensors"
    kept = {name: tensor for name, tensor in load_file(file).items() if "layer.1.output.dense.weight" not in name}
    save_file(kept, file, metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"layer\.1\.output\.dense\.weight .* missing from its"):
        load_backbone(settings, load_processor(settings), ())


@pytest.mark.parametrize(("save", "named"), [(save_t5, "t5"), (save_vit, "vit")])
def test_a_model_that_embeds_no_texts_is_refused(tmp_path: Path, save: Any, named: str) -> None:
    save(tmp_path / "model")
    settings = embedding_of(tmp_path)
    with pytest.raises(InputError, match=rf"embedding, which .*\({named}\) cannot do|no usable tokenizer"):
        load_backbone(settings, load_processor(settings), ())


def test_a_decoder_learns_pairs(tmp_path: Path) -> None:
    save_llama(tmp_path / "model")
    names = ("red", "blue", "green", "brown")
    rows = [
        {"anchor": f"say {a} {b}", "positive": f"the colour {a} please {b} {'the ' * (i % 3)}"}
        for i in range(100) for a, b in [(names[i % 4], names[i // 4 % 4])]
    ]  # fmt: skip
    settings = embedding_of(tmp_path, rows)
    bench, curve = learned(settings)
    assert isinstance(bench.task.kind, Embedding)
    assert bench.task.kind.pooling == Pooling("last")
    assert curve[-1].metric > bench.task.chance


def test_one_example_a_batch_has_no_negative(tmp_path: Path) -> None:
    settings = embedding_of(tmp_path)
    proxy = settings.proxy.model_copy(update={"batch_size": 1})
    with pytest.raises(InputError, match="so it must be at least 2"):
        Workbench.load(settings.model_copy(update={"proxy": proxy}))
