"""HAPT, phone sensors of daily activities (UCI archive 341) -> plain folder: the raw signals cut into minutes.

FROM: The raw files of UCI's HAPT archive, read where they lie: in a folder, a zip file, or a zip file in that.
"""

import io
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any
from zipfile import BadZipFile, ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray

from wtal.core.clock import SnippetClock
from wtal.core.errors import DataError, short_message
from wtal.core.io import require_not_input
from wtal.core.structures import Segment, Video
from wtal.data.dataset import write_dataset_info
from wtal.data.features import features_path, write_features
from wtal.data.problems import abbreviate

RECORDING = re.compile(r"(acc|gyro)_(exp(\d{1,4})_user(\d{1,4}))\.txt")
LARGEST = 1 << 24  # bytes of one file: hours of signal
LARGEST_IN_ALL = 1 << 28  # bytes: twice what the archive has
# As zipfile raises them; a password is a RuntimeError.
BROKEN = (BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError)
FETCH = "fetch UCI's archive 341 again"

Files = Mapping[str, Callable[[], bytes]]  # file name -> its bytes, when called for


@contextmanager
def raw_files(archive: Path) -> Iterator[Files]:
    """The files of RawData, wherever that lies in `archive`; nothing is unpacked to disk.

    Raises DataError where there is none, or where the archive is damaged or out of all proportion.
    """
    if archive.is_dir():
        yield _some(_of_folder(archive), archive)
        return
    with _zip(archive, archive) as outer:
        files = _of_zip(outer, archive)
        inner = [info for info in outer.infolist() if info.filename.lower().endswith(".zip")]
        if files or len(inner) != 1:
            yield _some(files, archive)
            return
        with _zip(io.BytesIO(_read(outer, inner[0], LARGEST_IN_ALL, archive)), archive) as nested:
            yield _some(_of_zip(nested, archive), archive)


def _of_folder(folder: Path) -> Files:
    near = (folder, *folder.glob("RawData"), *folder.glob("*/RawData"))
    paths = [path for raw in near if raw.name == "RawData" for path in raw.glob("*.txt") if path.is_file()]
    _require_proportion({path.name: path.stat().st_size for path in paths}, folder)
    return _by_name([(path.name, partial(_read_file, path)) for path in paths], folder)


def _of_zip(file: ZipFile, archive: Path) -> Files:
    """Nothing where there is no RawData."""
    members = {info: PurePosixPath(info.filename) for info in file.infolist() if not info.is_dir()}
    for path in members.values():
        if path.is_absolute() or ".." in path.parts:
            raise DataError(f"{archive}: names a place outside itself, {abbreviate(repr(str(path)))}; {FETCH}")
    raw = {info: path.name for info, path in members.items() if path.parent.name == "RawData"}
    _require_proportion({info.filename: info.file_size for info in raw}, archive)
    return _by_name([(name, partial(_read, file, info, LARGEST, archive)) for info, name in raw.items()], archive)


def _by_name(found: list[tuple[str, Callable[[], bytes]]], archive: Path) -> Files:
    files = dict(found)
    if len(files) < len(found):
        raise DataError(f"{archive}: has more than one RawData; name a folder or zip file that has one")
    return files


def _some(files: Files, archive: Path) -> Files:
    if not any(RECORDING.fullmatch(name) for name in files):
        raise DataError(f"{archive}: has no RawData/acc_exp01_user01.txt and so on; {FETCH}")
    return files


def _require_proportion(sizes: Mapping[str, int], archive: Path) -> None:
    name, size = max(sizes.items(), key=lambda item: item[1], default=("", 0))
    if size > LARGEST or sum(sizes.values()) > LARGEST_IN_ALL:
        raise DataError(
            f"{archive}: would unpack to {sum(sizes.values()):,} bytes, {abbreviate(repr(name))} alone to {size:,}, "
            f"too much for this data set; {FETCH}"
        )


def _zip(file: Path | IO[bytes], archive: Path) -> ZipFile:
    try:
        return ZipFile(file)
    except FileNotFoundError as error:
        raise DataError(f"{archive}: there is no such file; name UCI's archive 341, a zip file") from error
    except BROKEN as error:
        raise DataError(f"{archive}: not a zip file, or cut off; {FETCH}") from error


def _read(file: ZipFile, member: ZipInfo, most: int, archive: Path) -> bytes:
    where = f"{archive}, {abbreviate(member.filename)}"
    if member.file_size > most:
        raise DataError(f"{where}: too large for this data set, {member.file_size:,} bytes; {FETCH}")
    try:
        return file.read(member)  # never more than file_size
    except BROKEN as error:
        raise DataError(f"{where}: damaged or locked ({short_message(error)}); {FETCH}") from error


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {short_message(error).lower()}; {FETCH}") from error


RATE = 50  # samples a second
MINUTE = 60 * RATE
WINDOW, STRIDE = 64, 32  # samples that a snippet sees, samples from one to the next
BANDS = 8
# A snippet sees twice what it covers: its seconds are the middle of its window.
CLOCK = SnippetClock(STRIDE / RATE, (WINDOW - STRIDE) / 2 / RATE)
CLIP = 8.0
LARGEST_NUMBER = 1e9
HELD_OUT = {0: "testing", 4: "validation"}  # a person's place, in eights -> subset; the others train
ACTIVITIES = (
    *("walking", "walking_upstairs", "walking_downstairs", "sitting", "standing", "laying"),
    *("stand_to_sit", "sit_to_stand", "sit_to_lie", "lie_to_sit", "stand_to_lie", "lie_to_stand"),
)  # number 1 is the first
ABOUT = {
    "feature": "of each channel's window: mean, standard deviation, mean absolute difference, minimum, maximum, "
    "eight log bands of the spectrum; standardised on the training sequences",
    "source": "Smartphone-Based Recognition of Human Activities and Postural Transitions "
    "(Reyes-Ortiz et al., UCI 341), raw signals",
    "licence": "CC BY 4.0; cite the authors",
    "split": "held-out persons: every fourth, alternately for testing and validation",
}

Key = tuple[int, int]  # experiment, person
Instance = tuple[str, int, int]  # label, and the half-open range of samples that it takes


def convert_hapt(archive: Path, out: Path, progress: Callable[[int, int], object] | None = None) -> tuple[Video, ...]:
    """Write UCI's archive, the zip file as it was fetched or a folder of what is in it, as a plain folder at `out`.

    Returns the sequences, each a whole minute; `progress` hears (done, total) recordings.
    Raises DataError where the archive is not this one, is damaged, or out of all proportion.
    """
    require_not_input(out, archive, hint="choose another folder")
    videos: list[Video] = []
    features: list[NDArray[np.float32]] = []
    with raw_files(archive) as files:
        keys = _recordings(files, archive)
        subsets, instances = _subsets({person for _, person in keys}), _instances(files, archive)
        _require_known(instances, keys, archive)
        for number, (key, name) in enumerate(keys.items(), start=1):
            signal = _signal(files, name, archive)
            mine = instances.get(key, [])
            _require_inside(mine, signal, f"{archive}, labels.txt", name)
            for second, minute in _minutes(signal):
                videos.append(_sequence(f"{name}_{second:05d}", subsets[key[1]], second, mine))
                features.append(snippet_features(minute))
            if progress:
                progress(number, len(keys))
    features = _standardised(features, [video.subset == "training" for video in videos], archive)
    for video, values in zip(videos, features, strict=True):
        write_features(features_path(out, video.id), values.astype(np.float16))
    write_dataset_info(out, videos, CLOCK, ACTIVITIES, about=ABOUT)
    return tuple(video.without_segments() if video.subset == "training" else video for video in videos)


def snippet_features(signal: NDArray[np.float32]) -> NDArray[np.float32]:
    """What each window of a signal is like, before it is standardised. n samples x 6 -> T x 78."""
    starts = np.arange(0, len(signal) - WINDOW + 1, STRIDE)
    x = signal[starts[:, None] + np.arange(WINDOW)]  # T x 64 x 6
    spectrum = np.abs(np.fft.rfft(x - x.mean(1, keepdims=True), axis=1))[:, 1:]  # T x 32 x 6, without the mean
    bands = [np.log1p(band.mean(1)) for band in np.array_split(spectrum, BANDS, axis=1)]
    steps = np.abs(np.diff(x, axis=1)).mean(1)
    return np.concatenate([x.mean(1), x.std(1), steps, x.min(1), x.max(1), *bands], axis=1).astype(np.float32)


def _standardised(
    features: list[NDArray[np.float32]], training: list[bool], archive: Path
) -> list[NDArray[np.float32]]:
    """Mean 0 and standard deviation 1 on the training sequences, clipped. Each T x 78."""
    if not any(training):
        raise DataError(f"{archive}: leaves no whole minute of a person to train on; {FETCH}")
    seen = np.concatenate([x for x, trains in zip(features, training, strict=True) if trains])
    mean, scale = seen.mean(0), seen.std(0) + np.float32(1e-6)  # a channel that never changes stays 0
    return [np.clip((x - mean) / scale, -CLIP, CLIP) for x in features]


def _minutes(signal: NDArray[np.float32]) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """The second at which each whole minute begins, and its 3000 x 6; what is left over at the end is not used."""
    for minute in range(len(signal) // MINUTE):
        yield 60 * minute, signal[minute * MINUTE : (minute + 1) * MINUTE]


def _sequence(id: str, subset: str, second: int, instances: list[Instance]) -> Video:
    """A minute with what happens in it, cut at its edges."""
    first = second * RATE
    cut = [(label, max(start - first, 0), min(end - first, MINUTE)) for label, start, end in instances]
    actions = tuple(Segment(label, start / RATE, end / RATE) for label, start, end in cut if start < end)
    return Video(id, subset, tuple(sorted({action.label for action in actions})), 60.0, actions)


def _subsets(persons: set[int]) -> dict[int, str]:
    return {person: HELD_OUT.get(place % 8, "training") for place, person in enumerate(sorted(persons))}


def _recordings(files: Files, archive: Path) -> dict[Key, str]:
    """The recordings in the order of their names. Raises DataError where one has only one of its two signals."""
    found = {name: match for name in sorted(files) if (match := RECORDING.fullmatch(name))}
    for match in found.values():
        other = f"{'gyro' if match[1] == 'acc' else 'acc'}_{match[2]}.txt"
        if other not in found:
            raise DataError(f"{archive}: has {match[0]} but no {other}; {FETCH}")
    keys = {(int(match[3]), int(match[4])): match[2] for match in found.values()}
    if 2 * len(keys) < len(found):  # exp1 and exp01
        raise DataError(f"{archive}: has one experiment twice; {FETCH}")
    return keys


def _instances(files: Files, archive: Path) -> dict[Key, list[Instance]]:
    """What labels.txt says: experiment, person, activity, first and last sample, which count from 1."""
    if "labels.txt" not in files:
        raise DataError(f"{archive}: has no RawData/labels.txt; {FETCH}")
    where = f"{archive}, labels.txt"
    instances: dict[Key, list[Instance]] = {}
    rows = _numbers(files["labels.txt"](), 5, np.int64, where)
    for line, (experiment, person, activity, first, last) in enumerate(rows.tolist(), start=1):
        if not 1 <= activity <= len(ACTIVITIES):
            raise DataError(f"{where}, line {line}: there is no activity {activity}; {FETCH}")
        if not 1 <= first <= last:
            raise DataError(f"{where}, line {line}: samples {first} to {last} are no range; {FETCH}")
        instances.setdefault((experiment, person), []).append((ACTIVITIES[activity - 1], first - 1, last))
    return instances


def _require_known(instances: Mapping[Key, list[Instance]], keys: Mapping[Key, str], archive: Path) -> None:
    for experiment, person in instances.keys() - keys.keys():
        raise DataError(
            f"{archive}: labels.txt names experiment {experiment} with person {person}, "
            f"whose recording is not there; {FETCH}"
        )


def _require_inside(instances: list[Instance], signal: NDArray[np.float32], where: str, name: str) -> None:
    last = max((end for _, _, end in instances), default=0)
    if last > len(signal):
        raise DataError(f"{where}: a label of {name} ends at sample {last} of {len(signal)}; {FETCH}")


def _signal(files: Files, name: str, archive: Path) -> NDArray[np.float32]:
    """Acceleration and rotation side by side. n samples x 6."""
    acc, gyro = (
        _numbers(files[f"{kind}_{name}.txt"](), 3, np.float64, f"{archive}, {kind}_{name}.txt")
        for kind in ("acc", "gyro")
    )
    if len(acc) != len(gyro):
        raise DataError(f"{archive}: {name} has {len(acc)} samples of acc and {len(gyro)} of gyro; {FETCH}")
    return np.concatenate([acc, gyro], axis=1).astype(np.float32)


def _numbers(text: bytes, width: int, dtype: type, where: str) -> NDArray[Any]:
    """A table of numbers, n x `width`. Raises DataError where it is none."""
    if not text.strip():
        raise DataError(f"{where}: is empty; {FETCH}")
    try:
        rows: NDArray[Any] = np.loadtxt(io.BytesIO(text), dtype, comments=None, ndmin=2)
    except (ValueError, OverflowError) as error:
        raise DataError(f"{where}: not a table of numbers ({abbreviate(short_message(error))}); {FETCH}") from error
    if rows.shape[1] != width:
        raise DataError(f"{where}: has {rows.shape[1]} columns where there should be {width}; {FETCH}")
    if not (np.abs(rows) <= LARGEST_NUMBER).all():
        raise DataError(f"{where}: holds numbers that no phone measures; {FETCH}")
    return rows
