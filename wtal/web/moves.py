"""Where the videos that were corrected lie now: known by their content, whatever they are called."""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping

from wtal.web.library import File
from wtal.web.saved import Saved


def moves(
    saved: Mapping[str, Saved],
    files: Mapping[str, File],
    before: Collection[File],
    fingerprint: Callable[[File], str],
) -> dict[str, str]:
    """Old key -> new key of what was corrected in videos that lie elsewhere now; all to be done at once.

    Where a video is gone, any file of its content takes its place, a new one first. Where another one has its name,
    only one that was not there `before` does: else the video was made again, and keeps what was corrected. Of two
    corrections of one content the later goes first; no place is taken whose own correction stays.
    """
    known = {key: one for key, one in saved.items() if one.fingerprint}
    strays = [key for key, one in known.items() if not _is_at_home(one, files.get(key), fingerprint)]
    sizes = {known[key].fingerprint.partition(" ")[0] for key in strays}
    settled = saved.keys() - set(strays)
    free = defaultdict[str, list[File]](list)
    for key, file in files.items():
        if key not in settled and str(file.size) in sizes:
            free[fingerprint(file)].append(file)
    found = {}
    for key in sorted(strays, key=lambda key: -known[key].revision):
        places = free[known[key].fingerprint]
        fresh = [file for file in places if file not in before] if before else []
        place = next(iter([*fresh, *([] if key in files else places)]), None)
        if place is not None:
            places.remove(place)
            found[key] = place.key
    while blocked := {old for old, new in found.items() if new in saved and new not in found}:
        found = {old: new for old, new in found.items() if old not in blocked}
    return found


def _is_at_home(one: Saved, file: File | None, fingerprint: Callable[[File], str]) -> bool:
    return file is not None and fingerprint(file) in ("", one.fingerprint)
