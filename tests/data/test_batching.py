"""Training sequences: stripped of segments, each seen once an epoch, in an order that the seed alone decides."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

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
    prefetch,
)
from wtal.data.dataset import Dataset, load_dataset


def equal(one: Batch, other: Batch) -> bool:
    return one.rows == other.rows and all(
        torch.equal(getattr(one, name), getattr(other, name)) for name in ("features", "mask", "labels")
    )


def test_training_records_have_no_segments(tiny):
    marked = tuple(replace(v, segments=(Segment(v.labels[0], 1.0, 2.0),)) if v.labels else v for v in tiny.videos)
    data = TrainingDataset(replace(tiny, videos=marked), seed=0)
    assert len(data) == 8 and all(video.segments == () for video in data.videos)
    assert {video.subset for video in data.videos} == {"training"}


def test_real_training_records_have_no_segments_either(shared):
    data = TrainingDataset(load_dataset(shared("hapt")), seed=0)
    assert len(data) > 0 and all(video.segments == () for video in data.videos)
    assert data.labels.shape == (len(data), len(data.folder.classes)) and data.labels.any()


def test_a_batch_depends_on_the_seed_and_the_step_alone(tiny):
    one, other = TrainingDataset(tiny, seed=3), TrainingDataset(replace(tiny, videos=tiny.videos[::-1]), seed=3)
    later = one.batch(9, 3, 10)
    for step in (0, 4):
        one.batch(step, 3, 10)
    assert equal(later, one.batch(9, 3, 10)), "what was asked before does not matter"
    assert equal(later, other.batch(9, 3, 10)), "nor the order of the file"
    assert not equal(later, one.batch(10, 3, 10))
    assert not equal(later, TrainingDataset(tiny, seed=4).batch(9, 3, 10))


@pytest.mark.parametrize("size", [1, 2, 3, 8, 11])
def test_every_sequence_is_seen_once_an_epoch(tiny, size):
    data = TrainingDataset(tiny, seed=1)
    whole = {data.folder.features(v.id).astype(np.float32).tobytes(): v.id for v in data.videos}
    seen = []
    for step in range(-(-3 * len(data) // size)):
        batch = data.batch(step, size, 1000)
        assert len(batch.features) == size
        seen += [
            whole[x[real].numpy().tobytes()] for x, real in zip(batch.features, batch.mask, strict=True)
        ]  # fmt: skip
    epochs = [seen[start : start + len(data)] for start in range(0, 3 * len(data), len(data))]
    assert all(sorted(epoch) == [v.id for v in data.videos] for epoch in epochs)
    assert epochs[0] != epochs[1]


@pytest.mark.parametrize("snippets", [2, 20, 24, 27, 1000])
def test_crops_are_pieces_of_their_sequence_with_its_labels(tiny, snippets):
    data = TrainingDataset(tiny, seed=2)
    labels = dict(zip((v.id for v in data.videos), data.labels, strict=True))
    sources = {v.id: data.folder.features(v.id).astype(np.float32) for v in data.videos}
    for step in range(6):
        batch = data.batch(step, 4, snippets)
        for x, real, carried in zip(batch.features, batch.mask, batch.labels, strict=True):
            piece = x[real].numpy()
            (found,) = [(id, s, len(all)) for id, all in sources.items() for s in range(len(all))
                        if np.array_equal(all[s : s + len(piece)], piece)]  # fmt: skip
            assert len(piece) == min(snippets, found[2]) and torch.equal(labels[found[0]], carried)


def crop_of(tiny: Dataset, length: int, snippets: int, step: int) -> list[float]:
    """What a step sees of sequences whose features count 1, 2, ... length."""

    class Counting(Dataset):
        def features(self, video_id: str) -> np.ndarray:
            return np.arange(1, length + 1, dtype=np.float32)[:, None]

    return TrainingDataset(Counting(**vars(tiny)), seed=0).batch(step, 1, snippets).features[0, :, 0].tolist()


@given(length=st.integers(1, 30), snippets=st.integers(2, 30), step=st.integers(0, 10**9))
def test_crops_stay_inside(tiny, length, snippets, step):
    crop = crop_of(tiny, length, snippets, step)
    assert len(crop) == min(length, snippets) and crop[0] >= 1 and crop[-1] <= length
    assert np.diff(crop).tolist() == [1.0] * (len(crop) - 1)


def test_crops_start_at_every_place_in_the_course_of_training(tiny):
    assert {crop_of(tiny, 10, 7, step)[0] for step in range(60)} == {1, 2, 3, 4}


CPU = torch.device("cpu")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int16, None], ids=str)
@pytest.mark.parametrize("rows", [None, Rows(1, 2, 4), Rows(2, 0, 4)], ids=str)
def test_features_on_the_device_make_the_same_batches(tiny, dtype, rows):
    class Stored(Dataset):
        """In one type, or (None) in single precision now and then."""

        def features(self, video_id: str) -> np.ndarray:
            own = dtype or (np.float32 if video_id.endswith("3") else np.float16)
            return (np.asarray(super().features(video_id), np.float64) * 1.37).astype(own)

    data = TrainingDataset(Stored(**vars(tiny)), seed=0)
    resident = DeviceCachedDataset(data, CPU)
    assert resident.features.dtype == (torch.float16 if dtype is np.float16 else torch.float32)
    for step, snippets in ((0, 20), (5, 27), (7, 1000)):
        assert equal(data.batch(step, 4, snippets, rows), resident.batch(step, 4, snippets, rows))


def test_features_move_to_a_gpu_where_they_fill_no_more_than_half_of_it(tiny, monkeypatch):
    data = TrainingDataset(tiny, seed=0)
    size = 2 * sum(np.asarray(data.features(i)).size for i in range(len(data)))
    monkeypatch.setattr("wtal.data.batching.DeviceCachedDataset", lambda data, device: "resident")
    for free, place in ((2 * size, "resident"), (2 * size - 1, data)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, 10**12))
        assert cache_on_device(data, torch.device("cuda")) is place
    assert cache_on_device(data, CPU) is data


@pytest.mark.parametrize("share, count", [(0.0, 0), (0.25, 2), (0.5, 4), (1.0, 8)])
def test_what_is_held_out_is_not_trained_on(tiny, share, count):
    held = held_out_ids(tiny, share, seed=5)
    assert len(held) == count and held == held_out_ids(replace(tiny, videos=tiny.videos[::-1]), share, seed=5)
    assert held <= {v.id for v in tiny.subset("training")}
    if share < 1:
        left = {v.id for v in TrainingDataset(tiny, 5, held).videos}
        assert not held & left and len(held | left) == 8


def test_another_seed_holds_out_others(tiny):
    assert len({held_out_ids(tiny, 0.5, seed) for seed in range(5)}) > 1


def test_nothing_labelled_is_refused(tiny):
    bare = replace(tiny, videos=tuple(replace(v, labels=()) for v in tiny.videos))
    with pytest.raises(DataError, match="no training sequence carries a label; tag some"):
        TrainingDataset(bare, seed=0)
    with pytest.raises(DataError, match="no training sequence carries a label"):
        TrainingDataset(tiny, 0, held_out_ids(tiny, 1.0, 0))


def test_a_sequence_without_a_label_is_trained_on_too(tiny):
    data = TrainingDataset(tiny, seed=0)
    assert (data.labels.sum(1) == 0).sum() == 1


def test_labels_are_ones_in_the_order_of_the_classes():
    videos = [Video("a", "training", ("y", "z")), Video("b", "training", ()), Video("c", "training", ("x",))]
    assert multi_hot(videos, ("x", "y", "z")).tolist() == [[0, 1, 1], [0, 0, 0], [1, 0, 0]]


def test_padding_is_masked_and_what_is_real_is_kept():
    one, two = np.ones((2, 3), np.float16), np.full((4, 3), 2, np.float64)
    features, mask = pad([one, two])
    assert features.shape == (2, 4, 3) and features.dtype == torch.float32
    assert mask.tolist() == [[True, True, False, False], [True] * 4]
    assert features[0].sum(1).tolist() == [3, 3, 0, 0] and features[1].eq(2).all()


@pytest.mark.parametrize("count", [0, 1, 4])
def test_batches_read_ahead_are_the_same_in_the_same_order(tiny, count):
    data = TrainingDataset(tiny, 3)
    found = list(prefetch(lambda step: data.batch(step, 2, 20), range(5, 5 + count)))
    assert [step for step, _ in found] == list(range(5, 5 + count))
    for step, batch in found:
        assert torch.equal(batch.features, data.batch(step, 2, 20).features)


def test_what_goes_wrong_while_reading_ahead_is_told_where_the_batch_is_due():
    def broken(step):
        if step == 2:
            raise DataError("torn")
        return step

    due = prefetch(broken, range(4))
    assert [next(due), next(due)] == [(0, 0), (1, 1)]
    with pytest.raises(DataError, match="torn"):
        next(due)
