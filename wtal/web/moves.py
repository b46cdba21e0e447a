"""Where the videos that were corrected lie now: known by their content, whatever they are called."""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping

from wtal.web.library import File
from wtal.web.saved import Saved


def moves(
    saved: Mapping[str, Saved],
    files: Mapping[str, File],
    before: Collection[File] | None,
    fingerprint: Callable[[File], str],
) -> dict[str, str]:
    """Old key -> new key of what was corrected in videos that lie elsewhere now; all to be done at once.

    A file that was there `before` is another copy, and takes no place. At the first look (`before` is None) a video
    whose name another file has by now is taken for made again. Of two corrections of one content the later goes
    first; no place is taken whose own correction stays.
    """
    known = {key: one for key, one in saved.items() if one.fingerprint}
    strays = [key for key, one in known.items() if not _is_at_home(one, files.get(key), fingerprint)]
    if before is None:
        strays = [key for key in strays if key not in files]
    sizes = {known[key].fingerprint.partition(" ")[0] for key in strays}
    settled = saved.keys() - set(strays)
    free = defaultdict[str, list[str]](list)
    for key, file in files.items():
        if key not in settled and str(file.size) in sizes and file not in (before or ()):
            free[fingerprint(file)].append(key)
    found = {}
    for key in sorted(strays, key=lambda key: -known[key].revision):
        if places := free[known[key].fingerprint]:
            found[key] = places.pop(0)
    while blocked := {old for old, new in found.items() if new in saved and new not in found}:
        found = {old: new for old, new in found.items() if old not in blocked}
    return found


def _is_at_home(one: Saved, file: File | None, fingerprint: Callable[[File], str]) -> bool:
    return file is not None and fingerprint(file) in ("", one.fingerprint)
