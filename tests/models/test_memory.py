"""The global memory: what is written, what is read, and what must never be read."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.helpers.errors import raises
from wtal.core.errors import CheckpointError
from wtal.models.memory import (
    GlobalMemory,
    MemoryWriter,
    Whitening,
    WhiteningEstimator,
    find_background_weight,
    weight_background,
)

CLASSES, PARTS, WIDTH = 3, 2, 8
BACKGROUND = CLASSES
EVERY_CLASS = torch.ones(CLASSES + 1, dtype=torch.bool)
NO_WHITENING = Whitening(torch.zeros(PARTS, WIDTH), torch.eye(WIDTH).expand(PARTS, -1, -1).contiguous())


def allow(*classes: int) -> Tensor:
    """These classes and background."""
    allowed = torch.zeros(CLASSES + 1, dtype=torch.bool)
    allowed[[*classes, BACKGROUND]] = True
    return allowed


def snippets(count: int, seed: int = 0, allowed: Tensor = EVERY_CLASS) -> tuple[Tensor, Tensor]:
    """Random parts of features and class probabilities, which are 0 for classes that are not allowed."""
    draw = torch.Generator().manual_seed(seed)
    parts = F.normalize(torch.randn(count, PARTS, WIDTH, generator=draw), dim=-1)
    logits = 4 * torch.randn(count, CLASSES + 1, generator=draw)
    return parts, logits.masked_fill(~allowed, -torch.inf).softmax(-1)


def write(*tags: tuple[int, ...], seed: int = 0, neighbours: int = 3, **changes: float) -> GlobalMemory:
    """The memory of one video of 12 snippets for each tuple of classes."""
    settings = {"video_share": 1.0, "min_probability": 0.1, "max_entries": 100, "seed": seed, **changes}
    writer = MemoryWriter(NO_WHITENING, CLASSES, **settings)
    for video, classes in enumerate(tags):
        allowed = allow(*classes)
        writer.write(video, *snippets(12, video, allowed), allowed)
    return writer.finish(neighbours, temperature=0.1)


@pytest.fixture
def memory() -> GlobalMemory:
    """Four videos; the last one has no tag."""
    return write((0, 1), (0,), (2,), ())


def queries(memory: GlobalMemory, allowed: Tensor = EVERY_CLASS) -> tuple[Tensor, Tensor]:
    """Features to read the memory with, and their class probabilities."""
    parts, posterior = snippets(9, 99, allowed)
    return memory.whitening(parts), posterior


# Reading.


@pytest.mark.parametrize("video", range(4))
def test_excluded_video_is_never_read(memory, video):
    is_own = memory.videos == video
    damaged = replace(memory, entries=memory.entries.masked_fill(is_own[:, None], torch.nan))
    removed = replace(
        memory, **{name: getattr(memory, name)[~is_own] for name in ("entries", "classes", "videos", "snippets")}
    )
    features, posterior = queries(memory)
    reading = memory.read(features, posterior, EVERY_CLASS, exclude=video)
    assert torch.equal(damaged.read(features, posterior, EVERY_CLASS, exclude=video), reading)
    torch.testing.assert_close(removed.read(features, posterior, EVERY_CLASS), reading)
    assert not torch.equal(memory.read(features, posterior, EVERY_CLASS), reading)


@pytest.mark.parametrize("video", range(3))
def test_own_video_alone_is_read(memory, video):
    others = (memory.videos != video)[:, None]
    damaged = replace(memory, entries=memory.entries.masked_fill(others, torch.nan))
    features, posterior = queries(memory)
    reading = memory.read(features, posterior, EVERY_CLASS, only=video)
    assert torch.equal(damaged.read(features, posterior, EVERY_CLASS, only=video), reading) and reading.isfinite().all()


@given(seed=st.integers(0, 99), tags=st.sets(st.integers(0, CLASSES - 1)), exclude=st.none() | st.integers(0, 3))
def test_reading_is_a_distribution_over_the_allowed_classes(seed, tags, exclude):
    memory, allowed = write((0, 1), (0,), (2,), (), seed=seed), allow(*tags)
    features, posterior = queries(memory, allowed)
    reading = memory.read(features, posterior, allowed, exclude=exclude)
    torch.testing.assert_close(reading.sum(1), torch.ones(len(reading)))
    assert (reading >= 0).all() and not reading[:, ~allowed].any()


def test_video_without_tags_is_all_background(memory):
    features, posterior = queries(memory, allow())
    assert torch.equal(memory.read(features, posterior, allow()), allow().float().expand(9, -1))


def test_class_without_entries_keeps_its_posterior():
    memory = write((0,), (0,), (0,), ())
    features, posterior = queries(memory)
    reading = memory.read(features, posterior, EVERY_CLASS)
    torch.testing.assert_close(reading[:, [1, 2]], posterior[:, [1, 2]])
    torch.testing.assert_close(reading.sum(1), torch.ones(9))
    assert not torch.allclose(reading[:, 0], posterior[:, 0])


def test_empty_memory_keeps_the_posterior():
    memory = write((0,), (1,), min_probability=0.999999)
    assert memory.entries.shape == (0, PARTS * WIDTH) and not memory.counts().any()
    features, posterior = queries(memory)
    assert torch.equal(memory.read(features, posterior, EVERY_CLASS), posterior)


@pytest.mark.parametrize("neighbours", [1, 4, 1000])
def test_similarity_is_the_mean_cosine_of_the_nearest_entries(memory, neighbours):
    memory = replace(memory, neighbours=neighbours)
    features, _ = queries(memory)
    for index in range(CLASSES + 1):
        cosines = features @ memory.entries[memory.classes == index].T
        nearest = [sorted(row, reverse=True)[:neighbours] for row in cosines.tolist()]
        np.testing.assert_allclose(memory.similarity(features, index), [np.mean(row) for row in nearest], atol=1e-6)


def test_snippet_like_the_entries_of_a_class_is_read_as_this_class():
    """Classes are directions; a snippet between two entries of a class is closest to both."""
    writer = MemoryWriter(NO_WHITENING, CLASSES, video_share=1.0, min_probability=0.5, max_entries=9, seed=0)
    directions = torch.eye(WIDTH)[: CLASSES + 1]
    for video in range(2):
        noise = 0.1 * snippets(CLASSES + 1, video)[0]
        parts = F.normalize(directions[:, None] + noise, dim=-1)
        writer.write(video, parts, torch.eye(CLASSES + 1), EVERY_CLASS)
    memory = writer.finish(neighbours=2, temperature=0.1)
    assert memory.counts().tolist() == [2] * (CLASSES + 1)
    features = memory.whitening(directions[:, None].expand(-1, PARTS, -1))
    unsure = torch.full((CLASSES + 1, CLASSES + 1), 1 / (CLASSES + 1))
    reading = memory.read(features, unsure, EVERY_CLASS, exclude=1)
    assert reading.argmax(1).tolist() == list(range(CLASSES + 1)) and (reading.max(1).values > 0.9).all()


# Writing.


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("min_probability", [0.0, 0.3, 0.8])
def test_confident_snippets_of_the_classes_of_a_video_are_written(share, min_probability):
    tags = ((0, 1), (0,), (2,), ())
    memory = write(*tags, video_share=share, min_probability=min_probability)
    for video, classes in enumerate(tags):
        parts, posterior = snippets(12, video, allow(*classes))
        limit = int(np.ceil(share * 12 / (len(classes) + 1)))
        for index in range(CLASSES + 1):
            rows = (memory.videos == video) & (memory.classes == index)
            written = memory.snippets[rows].tolist()
            best = posterior[:, index].sort(descending=True).values[:limit].tolist()
            is_allowed = index in (*classes, BACKGROUND)
            expected = [probability for probability in best if is_allowed and probability > min_probability]
            assert len(set(written)) == len(written), "no snippet twice"
            assert sorted(posterior[written, index].tolist(), reverse=True) == expected
            torch.testing.assert_close(memory.entries[rows], memory.whitening(parts[written]))


@pytest.mark.parametrize("max_entries", [1, 5, 17])
def test_number_of_entries_is_limited(max_entries):
    tags = [(0,), (0, 1)] * 10
    unlimited, memory = write(*tags), write(*tags, max_entries=max_entries)
    assert memory.counts().tolist() == unlimited.counts().clamp(max=max_entries).tolist()
    rows = {tuple(row) for row in torch.stack([unlimited.classes, unlimited.videos, unlimited.snippets], 1).tolist()}
    kept = [tuple(row) for row in torch.stack([memory.classes, memory.videos, memory.snippets], 1).tolist()]
    assert set(kept) <= rows and len(set(kept)) == len(kept)
    assert kept == sorted(kept, key=lambda row: row[:2]), "by class, then in the order of writing"


def test_kept_entries_are_a_random_choice_that_the_seed_determines():
    tags = [(0,)] * 40
    chosen = [write(*tags, seed=seed, max_entries=10).videos for seed in (0, 0, 1)]
    assert torch.equal(chosen[0], chosen[1]) and not torch.equal(chosen[0], chosen[2])
    firsts = [write(*tags, seed=seed, max_entries=1).of_class(0)[1].item() for seed in range(60)]
    assert 12 < np.mean(firsts) < 27, "early and late videos are kept alike"


def test_entries_of_the_classes_are_all_entries(memory):
    parts = [memory.of_class(index) for index in range(CLASSES + 1)]
    assert torch.equal(torch.cat([entries for entries, _ in parts]), memory.entries)
    assert [len(videos) for _, videos in parts] == memory.counts().tolist()
    assert memory.counts().sum() == len(memory.entries) > 20
    torch.testing.assert_close(memory.entries.norm(dim=1), torch.ones(len(memory.entries)))


# Controls.


def rows_of(memory: GlobalMemory) -> set[tuple[float, ...]]:
    """The entries with their videos and snippets, without classes and order."""
    return {
        (video, snippet, *entry)
        for video, snippet, entry in zip(
            memory.videos.tolist(), memory.snippets.tolist(), memory.entries.tolist(), strict=True
        )
    }


def test_shuffling_keeps_counts_and_entries(memory):
    shuffled = memory.with_shuffled_classes(torch.Generator().manual_seed(0))
    assert torch.equal(shuffled.classes, memory.classes) and rows_of(shuffled) == rows_of(memory)
    assert not torch.equal(shuffled.entries, memory.entries)
    again = memory.with_shuffled_classes(torch.Generator().manual_seed(0))
    assert torch.equal(again.entries, shuffled.entries)
    features, posterior = queries(memory)
    assert not torch.allclose(
        shuffled.read(features, posterior, EVERY_CLASS), memory.read(features, posterior, EVERY_CLASS)
    )


def test_random_entries_keep_everything_but_the_vectors(memory):
    random = memory.with_random_entries(torch.Generator().manual_seed(0))
    for name in ("classes", "videos", "snippets"):
        assert torch.equal(getattr(random, name), getattr(memory, name))
    torch.testing.assert_close(random.entries.norm(dim=1), torch.ones(len(memory.entries)))
    assert (random.entries * memory.entries).sum(1).abs().mean() < 0.5


# Files.


def test_memory_survives_saving(memory, tmp_path):
    memory = memory.with_shuffled_classes(torch.Generator().manual_seed(0))
    memory.save(tmp_path / "memory.safetensors")
    loaded = GlobalMemory.load(tmp_path / "memory.safetensors")
    for name in ("entries", "classes", "videos", "snippets"):
        assert torch.equal(getattr(loaded, name), getattr(memory, name))
    assert (loaded.num_classes, loaded.neighbours, loaded.temperature) == (CLASSES, 3, 0.1)
    features, posterior = queries(memory)
    assert torch.equal(
        loaded.read(features, posterior, EVERY_CLASS, exclude=1),
        memory.read(features, posterior, EVERY_CLASS, exclude=1),
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"classes": torch.zeros(2, dtype=torch.int64)},
        {"classes": torch.full((9,), CLASSES + 1)},
        {"entries": torch.zeros(9, PARTS * WIDTH + 1)},
        {"entries": torch.full((9, PARTS * WIDTH), torch.nan)},
        {"num_classes": 0},
        {"temperature": 0.0},
        {"neighbours": -1},
        {"whitening": Whitening(torch.zeros(PARTS, WIDTH), torch.eye(WIDTH))},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_inconsistent_file_is_rejected(memory, tmp_path, changes):
    path = tmp_path / "memory.safetensors"
    small = replace(
        memory,
        **{name: getattr(memory, name)[:9] for name in ("entries", "classes", "videos", "snippets")},
    )
    small.save(path)
    assert len(GlobalMemory.load(path).entries) == 9
    replace(small, **changes).save(path)
    with raises(CheckpointError, code="unreadable-weights", path=path):
        GlobalMemory.load(path)


@pytest.mark.parametrize("size", [None, 0, 100])
def test_damaged_file_is_rejected(memory, tmp_path, size):
    path = tmp_path / "memory.safetensors"
    if size is not None:
        memory.save(path)
        path.write_bytes(path.read_bytes()[:size])
    with raises(CheckpointError, code="unreadable-weights", path=path):
        GlobalMemory.load(path)


# Whitening.


def correlated(count: int, seed: int = 0) -> Tensor:
    """Parts whose dimensions vary together and by very different amounts. T x P x H."""
    draw = torch.Generator().manual_seed(seed)
    mixing = torch.randn(WIDTH, WIDTH, generator=torch.Generator().manual_seed(7))
    scale = torch.logspace(-1, 1, WIDTH)
    return 3 + torch.randn(count, PARTS, WIDTH, generator=draw) * scale @ mixing


def estimate(*videos: Tensor, shrinkage: float = 0.0) -> Whitening:
    estimator = WhiteningEstimator()
    for video in videos:
        estimator.add(video)
    return estimator.finish(shrinkage)


def covariance(whitening: Whitening, parts: Tensor) -> Tensor:
    """The covariance of each part after projection. P x H x H."""
    projected = torch.einsum("tph,phk->tpk", parts - whitening.mean, whitening.projection)
    return torch.stack([part.T.cov(correction=0) for part in projected.unbind(1)])


def test_whitened_dimensions_are_uncorrelated_and_vary_alike():
    parts = correlated(500)
    expected = torch.eye(WIDTH).expand(PARTS, -1, -1)
    torch.testing.assert_close(covariance(estimate(parts), parts), expected, atol=1e-3, rtol=0)


def test_shrinkage_leaves_dimensions_uncorrelated_and_weak_ones_weaker():
    parts = correlated(500)
    weak, strong = (covariance(estimate(parts, shrinkage=shrinkage), parts) for shrinkage in (0.1, 10.0))
    for matrix in (*weak, *strong):
        torch.testing.assert_close(matrix, matrix.diagonal().diag(), atol=1e-3, rtol=0)
    spread = [
        matrices.diagonal(dim1=1, dim2=2).std(1) / matrices.diagonal(dim1=1, dim2=2).mean(1)
        for matrices in (weak, strong)
    ]
    assert (spread[0] < spread[1]).all()


def test_whitening_does_not_depend_on_how_snippets_are_divided_among_videos():
    parts = correlated(60)
    whole, divided = estimate(parts, shrinkage=1.0), estimate(*parts.split([1, 40, 19]), shrinkage=1.0)
    torch.testing.assert_close(whole(parts) @ whole(parts).T, divided(parts) @ divided(parts).T)


def test_cosine_of_two_snippets_is_the_mean_cosine_of_their_parts():
    parts = correlated(40)
    whitening = estimate(parts, shrinkage=0.5)
    vectors = whitening(parts)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(40))
    whitened = torch.einsum("tph,phk->tpk", parts - whitening.mean, whitening.projection)
    cosines = F.cosine_similarity(whitened[:, None], whitened[None], dim=-1)  # T x T x P
    torch.testing.assert_close(vectors @ vectors.T, cosines.mean(-1), atol=1e-5, rtol=0)


@pytest.mark.parametrize("shrinkage", [0.0, 1.0])
@pytest.mark.parametrize("parts", [torch.ones(5, PARTS, WIDTH), torch.ones(1, PARTS, WIDTH)], ids=["equal", "one"])
def test_snippets_that_do_not_vary_give_finite_vectors(parts, shrinkage):
    assert estimate(parts, shrinkage=shrinkage)(parts).isfinite().all()


# The background of a reading.


@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.9])
def test_weight_of_the_background_gives_it_a_share(share):
    probabilities = torch.randn(200, CLASSES + 1, generator=torch.Generator().manual_seed(0)).softmax(1)
    weight = find_background_weight(probabilities[:, -1], share)
    weighted = weight_background(probabilities, weight)
    assert float(weighted[:, -1].mean()) == pytest.approx(share, abs=1e-4)
    torch.testing.assert_close(weighted.sum(1), torch.ones(200))
    classes = probabilities[:, :-1]
    torch.testing.assert_close(F.normalize(weighted[:, :-1], p=1, dim=1), F.normalize(classes, p=1, dim=1))


@pytest.mark.parametrize("background, share", [([1.0, 1.0], 1.0), ([0.0, 0.0], 0.0), ([1.0, 0.0], 0.9), ([0.5], 1.0)])
def test_share_that_cannot_be_reached_gives_a_finite_weight(background, share):
    weight = find_background_weight(torch.tensor(background), share)
    assert 0 < weight < 1e9
    weighted = weight_background(torch.tensor([[1 - value, value] for value in background]), weight)
    assert weighted.isfinite().all()
