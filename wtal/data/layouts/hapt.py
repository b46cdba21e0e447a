"""HAPT, phone sensors of daily activities (UCI archive 341): the raw signals cut into minutes.

The archive is read as a folder, a zip file, or a zip file in a zip file. Nothing is unpacked to disk.
"""

import io
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any
from zipfile import ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray

from wtal.core.archives import ARCHIVE_ERRORS, open_zip, read_member
from wtal.core.clock import SnippetClock
from wtal.core.errors import DataError, short_message
from wtal.core.io import open_input, read_bytes
from wtal.core.structures import Segment, Video
from wtal.data.features import features_path, write_features
from wtal.data.layouts.base import Conversion, FeatureTiming, Layout, OnProgress
from wtal.data.problems import abbreviate

SAMPLE_RATE = 50  # samples per second
MINUTE = 60 * SAMPLE_RATE  # samples in a sequence
WINDOW, STRIDE = 64, 32  # samples in a snippet, samples from one snippet to the next
NUM_BANDS = 8
# Windows overlap by half, so a snippet covers the middle half of its window.
CLOCK = SnippetClock(STRIDE / SAMPLE_RATE, (WINDOW - STRIDE) / 2 / SAMPLE_RATE)
MAX_FEATURE = 8.0  # standard deviations; features are clipped
HELD_OUT = {0: "testing", 4: "validation"}  # index of the person modulo 8 -> subset; the others are for training
ACTIVITIES = (  # the archive counts them from 1
    *("walking", "walking_upstairs", "walking_downstairs", "sitting", "standing", "laying"),
    *("stand_to_sit", "sit_to_stand", "sit_to_lie", "lie_to_sit", "stand_to_lie", "lie_to_stand"),
)
ABOUT = {
    "feature": "of each channel's window: mean, standard deviation, mean absolute difference, minimum, maximum, "
    "eight log bands of the spectrum; standardized on the training sequences",
    "source": "Smartphone-Based Recognition of Human Activities and Postural Transitions "
    "(Reyes-Ortiz et al., UCI 341), raw signals",
    "licence": "CC BY 4.0; cite the authors",
    "split": "held-out persons: every fourth, alternately for testing and validation",
}

RECORDING = re.compile(r"(acc|gyro)_(exp(\d{1,4})_user(\d{1,4}))\.txt")
MAX_FILE_BYTES = 1 << 24  # hours of signal
MAX_TOTAL_BYTES = 1 << 28  # twice the size of the archive
MAX_ARCHIVE_BYTES = 1 << 30
MAX_SENSOR_VALUE = 1e9

Files = Mapping[str, Callable[[], bytes]]  # file name -> function that reads its content
RecordingKey = tuple[int, int]  # experiment, person
LabeledRange = tuple[str, int, int]  # label, half-open range of samples


class HaptLayout(Layout):
    """The raw signals and labels of the archive."""

    title = "UCI HAPT archive"
    contents = "RawData/labels.txt, as a folder or a zip file"

    def detect(self, source: Path) -> bool:
        """Whether a folder or zip file contains RawData with recordings."""
        try:
            with open_archive(source):
                return True
        except DataError:
            return False

    def convert(
        self, source: Path, out: Path, timing: FeatureTiming, on_progress: OnProgress | None = None
    ) -> Conversion:
        """Cut each recording into whole minutes and compute their features. Progress counts recordings."""
        videos: list[Video] = []
        features: list[NDArray[np.float32]] = []
        with open_archive(source) as files:
            recordings = _list_recordings(files, source)
            persons = sorted({person for _, person in recordings})
            subsets = {person: HELD_OUT.get(index % 8, "training") for index, person in enumerate(persons)}
            labels = _read_labels(files, source)
            for experiment, person in labels.keys() - recordings.keys():
                message = f"names experiment {experiment} of person {person}, which has no recording"
                raise _error(source, message, "labels.txt")
            for number, (key, name) in enumerate(recordings.items(), start=1):
                signal = _read_signal(files, name, source)
                ranges = labels.get(key, [])
                last = max((end for _, _, end in ranges), default=0)
                if last > len(signal):
                    message = f"a label of {name} ends at sample {last}, the recording has {len(signal)}"
                    raise _error(source, message, "labels.txt")
                for minute in range(len(signal) // MINUTE):
                    start = minute * MINUTE
                    videos.append(_make_video(f"{name}_{60 * minute:05d}", subsets[key[1]], start, ranges))
                    features.append(snippet_features(signal[start : start + MINUTE]))
                if on_progress:
                    on_progress(number, len(recordings))
        is_training = [video.subset == "training" for video in videos]
        if not any(is_training):
            raise _error(source, "contains no whole minute of a person for training")
        for video, values in zip(videos, _standardize(features, is_training), strict=True):
            write_features(features_path(out, video.id), values.astype(np.float16))
        return Conversion(videos, CLOCK, ACTIVITIES, about=ABOUT)


# Features


def snippet_features(signal: NDArray[np.float32]) -> NDArray[np.float32]:
    """Statistics and spectrum of each window of a signal, before they are standardized.

    Args:
        signal: n samples x 6 channels.

    Returns:
        T x 78: per channel mean, standard deviation, mean absolute difference, minimum, maximum and 8 log bands.
    """
    starts = np.arange(0, len(signal) - WINDOW + 1, STRIDE)
    x = signal[starts[:, None] + np.arange(WINDOW)]  # T x 64 x 6
    spectrum = np.abs(np.fft.rfft(x - x.mean(1, keepdims=True), axis=1))[:, 1:]  # T x 32 x 6, without the mean
    bands = [np.log1p(band.mean(1)) for band in np.array_split(spectrum, NUM_BANDS, axis=1)]
    differences = np.abs(np.diff(x, axis=1)).mean(1)
    return np.concatenate([x.mean(1), x.std(1), differences, x.min(1), x.max(1), *bands], axis=1).astype(np.float32)


def _standardize(features: list[NDArray[np.float32]], is_training: list[bool]) -> Iterator[NDArray[np.float32]]:
    """Mean 0 and standard deviation 1 on the training sequences, clipped. Each T x 78."""
    training = np.concatenate([x for x, selected in zip(features, is_training, strict=True) if selected])
    mean, scale = training.mean(0), training.std(0) + np.float32(1e-6)  # a constant channel becomes 0
    return (np.clip((x - mean) / scale, -MAX_FEATURE, MAX_FEATURE) for x in features)


def _make_video(id: str, subset: str, first: int, ranges: list[LabeledRange]) -> Video:
    """The minute from sample `first` on, with the segments inside it."""
    clipped = [(label, max(start - first, 0), min(end - first, MINUTE)) for label, start, end in ranges]
    segments = tuple(
        Segment(label, start / SAMPLE_RATE, end / SAMPLE_RATE) for label, start, end in clipped if start < end
    )
    return Video(id, subset, tuple(sorted({segment.label for segment in segments})), 60.0, segments)


# Content of the files


def _list_recordings(files: Files, archive: Path) -> dict[RecordingKey, str]:
    """The names of the recordings, sorted. Raises DataError where one has only one of its two signals."""
    matches = [match for name in sorted(files) if (match := RECORDING.fullmatch(name))]
    for match in matches:
        other = f"{'gyro' if match[1] == 'acc' else 'acc'}_{match[2]}.txt"
        if other not in files:
            raise _error(archive, f"contains {match[0]} but no {other}")
    recordings = {(int(match[3]), int(match[4])): match[2] for match in matches}
    if 2 * len(recordings) < len(matches):  # such as exp1 and exp01
        raise _error(archive, "contains an experiment twice")
    return recordings


def _read_labels(files: Files, archive: Path) -> dict[RecordingKey, list[LabeledRange]]:
    """Read labels.txt: experiment, person, activity, first and last sample, which count from 1."""
    name = "labels.txt"
    if name not in files:
        raise _error(archive, "contains no RawData/labels.txt")
    labels: dict[RecordingKey, list[LabeledRange]] = {}
    rows = _parse_table(files[name](), 5, np.int64, archive, name)
    for line, (experiment, person, activity, first, last) in enumerate(rows.tolist(), start=1):
        if not 1 <= activity <= len(ACTIVITIES):
            raise _error(archive, f"unknown activity {activity}", f"{name}, line {line}")
        if not 1 <= first <= last:
            raise _error(archive, f"invalid range of samples, {first} to {last}", f"{name}, line {line}")
        labels.setdefault((experiment, person), []).append((ACTIVITIES[activity - 1], first - 1, last))
    return labels


def _read_signal(files: Files, name: str, archive: Path) -> NDArray[np.float32]:
    """Acceleration and rotation of a recording. n samples x 6."""
    names = [f"{kind}_{name}.txt" for kind in ("acc", "gyro")]
    acc, gyro = (_parse_table(files[file](), 3, np.float64, archive, file) for file in names)
    if len(acc) != len(gyro):
        raise _error(archive, f"{name} has {len(acc)} samples of acc and {len(gyro)} of gyro")
    return np.concatenate([acc, gyro], axis=1).astype(np.float32)


def _parse_table(content: bytes, num_columns: int, dtype: type, archive: Path, name: str) -> NDArray[Any]:
    """A table of numbers, n x `num_columns`."""
    if not content.strip():
        raise _error(archive, "the file is empty", name)
    try:
        rows: NDArray[Any] = np.loadtxt(io.BytesIO(content), dtype, comments=None, ndmin=2)
    except (ValueError, OverflowError) as error:
        raise _error(archive, f"not a table of numbers ({abbreviate(short_message(error))})", name) from error
    if rows.shape[1] != num_columns:
        raise _error(archive, f"has {rows.shape[1]} columns, expected {num_columns}", name)
    if not (np.abs(rows) <= MAX_SENSOR_VALUE).all():
        raise _error(archive, "contains numbers outside the range of the sensors", name)
    return rows


# The archive


@contextmanager
def open_archive(archive: Path) -> Iterator[Files]:
    """Open the files in RawData, at any place in the archive.

    Args:
        archive: A folder, a zip file, or a zip file that contains one.

    Yields:
        For each file name a function that reads the file.

    Raises:
        DataError: There is no RawData with recordings, or the archive is damaged or too large.
    """
    if archive.is_dir():
        yield _require_recordings(_files_of_folder(archive), archive)
        return
    with open_input(archive, MAX_ARCHIVE_BYTES, "check the path") as source, _open_zip(source, archive) as outer:
        files = _files_of_zip(outer, archive)
        nested = [info for info in outer.infolist() if info.filename.lower().endswith(".zip")]
        if files or len(nested) != 1:
            yield _require_recordings(files, archive)
            return
        content = _read_member(outer, nested[0], MAX_TOTAL_BYTES, archive)
        with _open_zip(io.BytesIO(content), archive) as inner:
            yield _require_recordings(_files_of_zip(inner, archive), archive)


def _files_of_folder(folder: Path) -> Files:
    folders = (folder, *folder.glob("RawData"), *folder.glob("*/RawData"))
    paths = [path for raw in folders if raw.name == "RawData" for path in raw.glob("*.txt") if path.is_file()]
    _check_sizes({path.name: path.stat().st_size for path in paths}, folder)
    return _by_name([(path.name, partial(read_bytes, path, MAX_FILE_BYTES)) for path in paths], folder)


def _files_of_zip(file: ZipFile, archive: Path) -> Files:
    """The files in RawData; empty if there is none."""
    members = {info: PurePosixPath(info.filename) for info in file.infolist() if not info.is_dir()}
    for path in members.values():
        if path.is_absolute() or ".." in path.parts:
            raise _error(archive, f"contains a path outside itself, {abbreviate(repr(str(path)))}")
    raw = {info: path.name for info, path in members.items() if path.parent.name == "RawData"}
    _check_sizes({info.filename: info.file_size for info in raw}, archive)
    return _by_name(
        [(name, partial(_read_member, file, info, MAX_FILE_BYTES, archive)) for info, name in raw.items()], archive
    )


def _by_name(named: list[tuple[str, Callable[[], bytes]]], archive: Path) -> Files:
    files = dict(named)
    if len(files) < len(named):
        raise _error(archive, "contains more than one RawData")
    return files


def _require_recordings(files: Files, archive: Path) -> Files:
    if not any(RECORDING.fullmatch(name) for name in files):
        raise _error(archive, "contains no RawData/acc_exp01_user01.txt and so on")
    return files


def _check_sizes(sizes: Mapping[str, int], archive: Path) -> None:
    """Raise DataError before a zip bomb is read."""
    name, size = max(sizes.items(), key=lambda item: item[1], default=("", 0))
    if size > MAX_FILE_BYTES or sum(sizes.values()) > MAX_TOTAL_BYTES:
        message = f"too large: {sum(sizes.values()):,} bytes unpacked, {abbreviate(repr(name))} alone {size:,}"
        raise _error(archive, message, code="too-large")


def _open_zip(file: IO[bytes], archive: Path) -> ZipFile:
    try:
        return open_zip(file, MAX_ARCHIVE_BYTES)
    except ARCHIVE_ERRORS as error:
        raise _error(archive, f"not a zip file, or incomplete ({short_message(error)})") from error


def _read_member(file: ZipFile, member: ZipInfo, max_bytes: int, archive: Path) -> bytes:
    name = abbreviate(member.filename)
    if member.file_size > max_bytes:
        raise _error(archive, f"too large, {member.file_size:,} bytes", name, "too-large")
    try:
        return read_member(file, member, max_bytes)
    except ARCHIVE_ERRORS as error:
        raise _error(archive, f"damaged or encrypted ({short_message(error)})", name) from error


def _error(archive: Path, message: str, location: str | None = None, code: str = "invalid-archive") -> DataError:
    hint = "download archive 341 of the UCI repository again"
    return DataError(message, path=archive, location=location, hint=hint, code=code)
