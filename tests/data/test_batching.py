"""Training batches: no segments, each video once per epoch, and determined by seed and step."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.errors import raises
from wtal.core.distributed import Rows
from wtal.core.errors import DataError
from wtal.core.structures import Segment, Video
from wtal.data.batching import (
    Batch,
    DeviceCachedDataset,
    TrainingDataset,
    cache_on_device,
    held_out_ids,
    multi_hot,
    pad,
)
from wtal.data.dataset import Dataset, load_dataset

CPU = torch.device("cpu")
TENSORS = ("features", "mask", "labels", "targets", "snippet_labels")


def equal(a: Batch, b: Batch) -> bool:
    """Whether two batches are the same to the bit."""
    tensors = [(getattr(a, name), getattr(b, name)) for name in TENSORS]
    return a.rows == b.rows and all(x is y if x is None or y is None else torch.equal(x, y) for x, y in tensors)


def numbered_targets(dataset: Dataset) -> dict[str, torch.Tensor]:
    """Targets that are different for every snippet of the training videos."""
    lengths = {video.id: len(dataset.features(video.id)) for video in dataset.subset("training")}
    classes = len(dataset.classes) + 1
    return {
        id: 100 * video + torch.arange(1.0, length * classes + 1).view(length, classes) / 1000
        for video, (id, length) in enumerate(lengths.items())
    }


def test_training_videos_have_no_segments(tiny):
    marked = tuple(replace(v, segments=(Segment(v.labels[0], 1.0, 2.0),)) if v.labels else v for v in tiny.videos)
    data = TrainingDataset(replace(tiny, videos=marked), seed=0)
    assert len(data) == 8 and all(video.segments == () for video in data.videos)
    assert {video.subset for video in data.videos} == {"training"}


def test_training_videos_of_public_data_have_no_segments(shared):
    data = TrainingDataset(load_dataset(shared("hapt")), seed=0)
    assert len(data) > 0 and all(video.segments == () for video in data.videos)
    assert data.labels.shape == (len(data), len(data.dataset.classes)) and data.labels.any()


def test_batch_depends_on_seed_and_step_only(tiny):
    data, reordered = TrainingDataset(tiny, seed=3), TrainingDataset(replace(tiny, videos=tiny.videos[::-1]), seed=3)
    batch = data.batch(9, 3, 10)
    for step in (0, 4):
        data.batch(step, 3, 10)
    assert equal(batch, data.batch(9, 3, 10)), "not on earlier batches"
    assert equal(batch, reordered.batch(9, 3, 10)), "not on the order of the file"
    assert not equal(batch, data.batch(10, 3, 10))
    assert not equal(batch, TrainingDataset(tiny, seed=4).batch(9, 3, 10))


@pytest.mark.parametrize("size", [1, 2, 3, 8, 11])
def test_every_video_is_seen_once_per_epoch(tiny, size):
    data = TrainingDataset(tiny, seed=1)
    ids = {data.dataset.features(v.id).astype(np.float32).tobytes(): v.id for v in data.videos}
    seen = []
    for step in range(-(-3 * len(data) // size)):
        batch = data.batch(step, size, 1000)
        assert len(batch.features) == size
        seen += [ids[x[real].numpy().tobytes()] for x, real in zip(batch.features, batch.mask, strict=True)]
    epochs = [seen[start : start + len(data)] for start in range(0, 3 * len(data), len(data))]
    assert all(sorted(epoch) == [v.id for v in data.videos] for epoch in epochs)
    assert epochs[0] != epochs[1]


@pytest.mark.parametrize("snippets", [2, 20, 24, 27, 1000])
def test_crops_are_parts_of_their_video_with_its_labels(tiny, snippets):
    data = TrainingDataset(tiny, seed=2)
    labels = dict(zip((v.id for v in data.videos), data.labels, strict=True))
    sources = {v.id: data.dataset.features(v.id).astype(np.float32) for v in data.videos}
    for step in range(6):
        batch = data.batch(step, 4, snippets)
        for x, real, batch_labels in zip(batch.features, batch.mask, batch.labels, strict=True):
            crop = x[real].numpy()
            (id,) = {
                id
                for id, source in sources.items()
                for start in range(len(source))
                if np.array_equal(source[start : start + len(crop)], crop)
            }
            assert len(crop) == min(snippets, len(sources[id])) and torch.equal(labels[id], batch_labels)


@pytest.mark.parametrize("snippets", [2, 20, 1000])
@pytest.mark.parametrize("rows", [None, Rows(1, 2, 4)], ids=str)
def test_targets_belong_to_the_snippets_of_the_batch(tiny, snippets, rows):
    targets = numbered_targets(tiny)
    data, plain = TrainingDataset(tiny, 2, targets=targets), TrainingDataset(tiny, 2)
    for step in range(4):
        batch, without = data.batch(step, 4, snippets, rows), plain.batch(step, 4, snippets, rows)
        assert without.targets is None and torch.equal(batch.features, without.features), "targets change no crop"
        assert not batch.targets[~batch.mask].any()
        crops = data.crops(step, 4, snippets)
        for crop, target in zip(crops if rows is None else crops[rows.selection], batch.targets, strict=True):
            expected = targets[data.videos[crop.video].id][crop.start : crop.start + crop.length]
            assert torch.equal(target[: crop.length], expected)


def crop_of(tiny: Dataset, length: int, snippets: int, step: int) -> list[float]:
    """The crop that a step sees of features that count 1, 2, ... length."""

    class Counting(Dataset):
        def features(self, video_id: str) -> np.ndarray:
            return np.arange(1, length + 1, dtype=np.float32)[:, None]

    return TrainingDataset(Counting(**vars(tiny)), seed=0).batch(step, 1, snippets).features[0, :, 0].tolist()


@given(length=st.integers(1, 30), snippets=st.integers(2, 30), step=st.integers(0, 10**9))
def test_crops_are_contiguous_and_inside(tiny, length, snippets, step):
    crop = crop_of(tiny, length, snippets, step)
    assert len(crop) == min(length, snippets) and crop[0] >= 1 and crop[-1] <= length
    assert np.diff(crop).tolist() == [1.0] * (len(crop) - 1)


def test_crops_start_at_every_possible_snippet(tiny):
    assert {crop_of(tiny, 10, 7, step)[0] for step in range(60)} == {1, 2, 3, 4}


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int16, None], ids=str)
@pytest.mark.parametrize("rows", [None, Rows(1, 2, 4), Rows(2, 0, 4)], ids=str)
@pytest.mark.parametrize("has_targets", [False, True], ids=["no targets", "targets"])
def test_cached_features_make_the_same_batches(tiny, dtype, rows, has_targets):
    targets = numbered_targets(tiny) if has_targets else None

    class Converted(Dataset):
        """Features in one dtype or, for None, in a mixture of float16 and float32."""

        def features(self, video_id: str) -> np.ndarray:
            video_dtype = dtype or (np.float32 if video_id.endswith("3") else np.float16)
            return (np.asarray(super().features(video_id), np.float64) * 1.37).astype(video_dtype)

    data = TrainingDataset(Converted(**vars(tiny)), seed=0, targets=targets)
    cached = DeviceCachedDataset(data, CPU)
    assert cached.features.dtype == (torch.float16 if dtype is np.float16 else torch.float32)
    for step, snippets in ((0, 20), (5, 27), (7, 1000)):
        assert equal(data.batch(step, 4, snippets, rows), cached.batch(step, 4, snippets, rows))


def test_features_are_cached_if_they_fill_at_most_half_of_the_gpu(tiny, monkeypatch):
    data = TrainingDataset(tiny, seed=0)
    size = 2 * sum(np.asarray(data.features(i)).size for i in range(len(data)))
    monkeypatch.setattr("wtal.data.batching.DeviceCachedDataset", lambda data, device: "cached")
    for free_bytes, expected in ((2 * size, "cached"), (2 * size - 1, data)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free_bytes: (free, 10**12))
        assert cache_on_device(data, torch.device("cuda")) is expected
    assert cache_on_device(data, CPU) is data


@pytest.mark.parametrize("fraction, count", [(0.0, 0), (0.25, 2), (0.5, 4), (1.0, 8)])
def test_held_out_videos_are_excluded(tiny, fraction, count):
    held_out = held_out_ids(tiny, fraction, seed=5)
    assert len(held_out) == count and held_out <= {v.id for v in tiny.subset("training")}
    assert held_out == held_out_ids(replace(tiny, videos=tiny.videos[::-1]), fraction, seed=5)
    if fraction < 1:
        trained = {v.id for v in TrainingDataset(tiny, 5, held_out).videos}
        assert not held_out & trained and len(held_out | trained) == 8


def test_held_out_videos_depend_on_seed(tiny):
    assert len({held_out_ids(tiny, 0.5, seed) for seed in range(5)}) > 1


def test_data_without_labels_is_rejected(tiny):
    unlabeled = replace(tiny, videos=tuple(replace(v, labels=()) for v in tiny.videos))
    with raises(DataError, code="no-labels", path=tiny.path):
        TrainingDataset(unlabeled, seed=0)
    with raises(DataError, code="no-labels", path=tiny.path):
        TrainingDataset(tiny, 0, held_out_ids(tiny, 1.0, 0))


def test_video_without_label_is_used(tiny):
    assert (TrainingDataset(tiny, seed=0).labels.sum(1) == 0).sum() == 1


def test_multi_hot_follows_order_of_classes():
    videos = [Video("a", "training", ("y", "z")), Video("b", "training", ()), Video("c", "training", ("x",))]
    assert multi_hot(videos, ("x", "y", "z")).tolist() == [[0, 1, 1], [0, 0, 0], [1, 0, 0]]


def test_padding_is_zero_and_masked():
    features, mask = pad([np.ones((2, 3), np.float16), np.full((4, 3), 2, np.float64)])
    assert features.shape == (2, 4, 3) and features.dtype == torch.float32
    assert mask.tolist() == [[True, True, False, False], [True] * 4]
    assert features[0].sum(1).tolist() == [3, 3, 0, 0] and features[1].eq(2).all()


# --- Labeled snippets ------------------------------------------------------------------------------------------------


def labeled(dataset: Dataset, *ids: str, snippet: int = -1) -> dict[str, torch.Tensor]:
    """Labels of a single snippet in each of these videos."""
    labels = {id: torch.zeros(len(dataset.features(id)), len(dataset.classes) + 1) for id in ids}
    for values in labels.values():
        values[snippet, 0] = 1
    return labels


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("snippets", [4, 1000])
def test_share_of_a_batch_is_drawn_from_labeled_videos(tiny, share, snippets):
    ids = ("training_0001", "training_0004")
    data = TrainingDataset(tiny, 0, snippet_labels=labeled(tiny, *ids), labelled_share=share)
    indices = [index for index, video in enumerate(data.videos) if video.id in ids]
    drawn = []
    for step in range(6):
        crops = data.crops(step, 4, snippets)
        assert len(crops) == 4
        extra = crops[4 - round(4 * share) :]
        assert all(crop.video in indices and crop.start + crop.length == data.length(crop.video) for crop in extra)
        drawn += [crop.video for crop in extra]
        batch = data.batch(step, 4, snippets)
        assert (batch.snippet_labels.sum((1, 2)) > 0)[4 - round(4 * share) :].all()
        assert not batch.snippet_labels[~batch.mask].any()
        assert equal(batch, DeviceCachedDataset(data, CPU).batch(step, 4, snippets))
    assert len({drawn.count(index) for index in indices}) == 1, "each equally often"


def test_without_labels_batches_are_those_of_training_on_tags(tiny):
    ids = [video.id for video in tiny.subset("training")]
    plain, share = TrainingDataset(tiny, 0), TrainingDataset(tiny, 0, labelled_share=0.5)
    every = TrainingDataset(tiny, 0, snippet_labels=labeled(tiny, *ids), labelled_share=0.5)
    for step in range(3):
        assert equal(plain.batch(step, 4, 8), share.batch(step, 4, 8))
        assert plain.crops(step, 4, 40) == every.crops(step, 4, 40), "all videos are labeled, and none is cropped"


def test_labels_at_the_end_of_long_videos_are_seen_if_all_videos_are_labeled(tiny):
    ids = [video.id for video in tiny.subset("training")]
    data = TrainingDataset(tiny, 0, snippet_labels=labeled(tiny, *ids), labelled_share=0.5)
    for step in range(6):
        assert (data.batch(step, 4, 4).snippet_labels.sum((1, 2)) > 0)[2:].all()
