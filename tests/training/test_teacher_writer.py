"""The teacher: what is written for stage two, and what each video is taught from."""

import json

import pytest
import torch

from tests.helpers.errors import raises
from wtal.core.errors import CheckpointError
from wtal.data.batching import TrainingDataset
from wtal.models.global_branch import enhance, mean_posterior
from wtal.models.local_branch import build_model
from wtal.models.memory import GlobalMemory
from wtal.models.teacher import MEMORY_NAME, TARGETS_NAME, read_teacher
from wtal.training.teacher_writer import StageOneOutput, write_teacher

CPU = torch.device("cpu")
TAUGHT = ["dfe", "dfe-no-memory", "shuffled-memory", "random-memory", "own-video-memory"]


@pytest.fixture
def models(tiny, settings) -> list[torch.nn.Module]:
    """Two networks with random weights."""
    torch.manual_seed(0)
    networks = [build_model(settings("local"), tiny.modalities, len(tiny.classes)).eval() for _ in range(2)]
    for network in networks:
        for weights in network.parameters():
            torch.nn.init.normal_(weights, std=0.5)
    return networks


def config_of(settings, method: str = "dfe", **memory: float):
    return settings(method, memory={"min_probability": 0.1, "neighbours": 3, **memory})


@pytest.mark.parametrize("method", TAUGHT)
def test_targets_are_distributions_over_the_tags_and_background(tiny, settings, tmp_path, models, method):
    data = TrainingDataset(tiny, 0)
    write_teacher(config_of(settings, method), data, models, tmp_path / "teacher", CPU)
    targets = read_teacher(tmp_path / "teacher").targets
    assert targets.keys() == {video.id for video in data.videos}
    for index, (video, labels) in enumerate(zip(data.videos, data.labels, strict=True)):
        target = targets[video.id]
        assert target.shape == (data.length(index), len(tiny.classes) + 1)
        torch.testing.assert_close(target.sum(1), torch.ones(len(target)))
        assert not target[:, :-1][:, labels == 0].any() and (target >= 0).all()
        if not video.labels:
            assert (target[:, -1] == 1).all(), "all background"


@torch.inference_mode()
def test_no_video_is_taught_by_its_own_entries(tiny, settings, tmp_path, models):
    """The targets follow from the memory even if the entries of the video are damaged in it."""
    config, data = config_of(settings), TrainingDataset(tiny, 0)
    write_teacher(config, data, models, tmp_path / "teacher", CPU)
    teacher = read_teacher(tmp_path / "teacher")
    assert len(teacher.memory.videos.unique()) == len(data), "every video is in the memory"
    for video in range(len(data)):
        output = StageOneOutput.compute(models, data.features(video), CPU)
        allowed = torch.tensor([*(data.labels[video] > 0).tolist(), True])
        posterior = mean_posterior(output.cas, teacher.reliability, allowed)
        entries = teacher.memory.entries.masked_fill((teacher.memory.videos == video)[:, None], torch.nan)
        damaged = GlobalMemory(**{**vars(teacher.memory), "entries": entries})
        reading = damaged.read(damaged.whitening(output.parts), posterior, allowed, exclude=video)
        expected = enhance(posterior, reading, config.teacher.memory_share)
        torch.testing.assert_close(teacher.targets[data.videos[video].id], expected)


@pytest.mark.parametrize("method", ["dfe", "shuffled-memory"])
def test_teacher_sees_as_much_background_as_the_models(tiny, settings, tmp_path, models, method):
    data = TrainingDataset(tiny, 0)
    shares = []
    for share in (0.0, 0.5, 1.0):
        config = settings(method, memory={"min_probability": 0.1}, teacher={"memory_share": share})
        write_teacher(config, data, models, tmp_path / str(share), CPU)
        targets = torch.cat(list(read_teacher(tmp_path / str(share)).targets.values()))
        shares.append(float(targets[:, -1].mean()))
    assert shares == pytest.approx([shares[0]] * 3, abs=1e-4)


def test_labeled_snippets_override_the_teacher_and_are_in_the_memory(tiny, settings, tmp_path, models):
    video = next(v for v in tiny.subset("training") if v.labels)
    column = tiny.classes.index(video.labels[0])
    labels = torch.zeros(len(tiny.features(video.id)), len(tiny.classes) + 1)
    labels[[2, 5], column] = labels[7, -1] = 1
    config = config_of(settings, max_entries=2)
    data = TrainingDataset(tiny, 0, snippet_labels={video.id: labels})
    write_teacher(config, data, models, tmp_path / "labeled", CPU)
    write_teacher(config, TrainingDataset(tiny, 0), models, tmp_path / "tags", CPU)
    teacher, without = read_teacher(tmp_path / "labeled"), read_teacher(tmp_path / "tags")
    is_labeled = labels.sum(1) > 0
    assert torch.equal(teacher.targets[video.id][is_labeled], labels[is_labeled])
    assert not torch.equal(without.targets[video.id][is_labeled], labels[is_labeled])
    memory = teacher.memory
    kept = {(v, s) for c, v, s in zip(memory.classes, memory.videos, memory.snippets, strict=True) if c == column}
    index = [v.id for v in data.videos].index(video.id)
    assert {(int(v), int(s)) for v, s in kept} == {(index, 2), (index, 5)}, "before all others"


def teach(tiny, settings, tmp_path, models, method, **sections):
    """The teacher that is written for a method."""
    folder = tmp_path / f"{method} {sections}"
    config = settings(method, **{"memory": {"min_probability": 0.1, "neighbours": 3}, **sections})
    write_teacher(config, TrainingDataset(tiny, 0), models, folder, CPU)
    return read_teacher(folder)


def same_targets(a, b) -> bool:
    return all(torch.equal(a.targets[id], b.targets[id]) for id in a.targets)


def test_controls_differ_from_the_memory_only_in_what_they_read(tiny, settings, tmp_path, models):
    teachers = {method: teach(tiny, settings, tmp_path, models, method) for method in TAUGHT}
    dfe = teachers["dfe"]
    for method, teacher in teachers.items():
        assert torch.equal(teacher.reliability, dfe.reliability)
        assert torch.equal(teacher.memory.counts(), dfe.memory.counts())
        is_same_memory = method in ("dfe", "dfe-no-memory", "own-video-memory")
        assert torch.equal(teacher.memory.entries, dfe.memory.entries) == is_same_memory
        assert same_targets(teacher, dfe) == (method == "dfe")
    ensemble = teach(tiny, settings, tmp_path, models, "dfe", teacher={"memory_share": 0.0})
    assert same_targets(ensemble, teachers["dfe-no-memory"])


def test_reliability_exponent_of_zero_gives_equal_weights(tiny, settings, tmp_path, models):
    assert (teach(tiny, settings, tmp_path, models, "dfe", teacher={"reliability": 0}).reliability == 1).all()
    once, twice = (
        teach(tiny, settings, tmp_path, models, "dfe", teacher={"reliability": exponent}).reliability
        for exponent in (1.0, 2.0)
    )
    torch.testing.assert_close(once**2, twice)
    assert (once[:, :-1] < 1).any() and (once > 0).all() and (once[:, -1] == 1).all(), "background has no tag"


@torch.no_grad()
def test_model_that_mistakes_a_class_counts_less_for_it(tiny, settings, tmp_path, models):
    """Exchanging the scores of two classes that do not always occur together changes what the model is trusted for."""
    perfect = teach(tiny, settings, tmp_path, models, "dfe").reliability
    weight, bias = models[0].classify.weight, models[0].classify.bias
    weight[[0, 1]], bias[[0, 1]] = weight[[1, 0]], bias[[1, 0]]
    exchanged = teach(tiny, settings, tmp_path, models, "dfe", train={"seed": 1}).reliability
    assert torch.equal(exchanged[1], perfect[1]) and torch.equal(exchanged[0, 2:], perfect[0, 2:])
    assert not torch.equal(exchanged[0, :2], perfect[0, :2])


def test_held_out_videos_are_neither_written_nor_taught(tiny, settings, tmp_path, models):
    held_out = frozenset({tiny.subset("training")[0].id})
    write_teacher(config_of(settings), TrainingDataset(tiny, 0, held_out), models, tmp_path / "teacher", CPU)
    teacher = read_teacher(tmp_path / "teacher")
    assert not held_out & teacher.targets.keys() and len(teacher.targets) == 7
    assert teacher.memory.videos.max() < 7


@pytest.mark.parametrize("file", [TARGETS_NAME, MEMORY_NAME, "teacher.json"])
@pytest.mark.parametrize("damage", ["missing", "truncated", "empty"])
def test_damaged_teacher_is_rejected(tiny, settings, tmp_path, models, file, damage):
    folder = tmp_path / "teacher"
    write_teacher(config_of(settings), TrainingDataset(tiny, 0), models, folder, CPU)
    content = (folder / file).read_bytes()
    (folder / file).unlink()
    if damage != "missing":
        (folder / file).write_bytes(content[: len(content) // 2] if damage == "truncated" else b"")
    with raises(CheckpointError, path=folder / file):
        read_teacher(folder)


def test_foreign_json_is_rejected(tiny, settings, tmp_path, models):
    folder = tmp_path / "teacher"
    write_teacher(config_of(settings), TrainingDataset(tiny, 0), models, folder, CPU)
    for value in ([], {}, 3):
        (folder / "teacher.json").write_text(json.dumps(value))
        with raises(CheckpointError, path=folder / "teacher.json"):
            read_teacher(folder)
