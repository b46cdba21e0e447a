"""The process that finds what happens in videos, one after the other: the page stays quick and survives it."""

import multiprocessing
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

from wtal import checkpoint
from wtal.errors import WtalError, first_line
from wtal.extract.backbone import Backbone
from wtal.extract.backbones import Choice
from wtal.extract.one import features_of
from wtal.extract.video import length_and_rate
from wtal.localize import localize
from wtal.model import Chassis
from wtal.predict import snippet_scores
from wtal.timelines import open_backbone_of
from wtal.web.found import Found, write_found


@dataclass(frozen=True)
class Task:
    """A video to look into: where it lies, where the findings go, and how it is called and known again."""

    path: Path
    out: Path
    name: str
    fingerprint: str


@dataclass(frozen=True)
class Told:
    """What the worker says of its task: the second reached of so many, at last that it is `done`, or why not."""

    second: float = 0.0
    duration: float | None = None
    done: bool = False
    reason: str = ""


class Worker:
    """The process as the server holds it. Raises EOFError or OSError where the process is gone."""

    def __init__(self, run: Path, choice: Choice) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, run, choice), daemon=True)
        self._process.start()
        theirs.close()

    def give(self, task: Task) -> None:
        """Start on a video; the worker must be free."""
        self._pipe.send(task)

    def hear(self, seconds: float) -> Told | None:
        """The next that it says, None where it says nothing for so long."""
        return self._pipe.recv() if self._pipe.poll(seconds) else None

    def end(self) -> int | None:
        """Stop it at once; returns the exit code that it had ended with by itself."""
        self._process.join(0.2)
        code = self._process.exitcode
        self._process.kill()
        self._process.join()
        self._pipe.close()
        return code


def _work(pipe: Connection, run: Path, choice: Choice) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server says when to stop
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with suppress(EOFError, OSError):  # the server is gone
        try:
            network, meta = checkpoint.load_local(run)
            find = partial(_find, network, meta, open_backbone_of(run, meta, choice))
        except WtalError as error:  # the model went away meanwhile
            while True:
                pipe.recv()
                pipe.send(Told(reason=str(error)))
        while True:
            task: Task = pipe.recv()
            pipe.send(_outcome(find, task, pipe.send))


def _outcome(find: Callable[[Task, Callable[[Told], None]], None], task: Task, say: Callable[[Told], None]) -> Told:
    """Do it, and tell how it ended: whatever goes wrong with a video is laid to it, and the next one goes on."""
    try:
        find(task, say)
        return Told(done=True)
    except Exception as error:  # of decoders and disks, which raise what they like
        why = str(error) if isinstance(error, WtalError) else first_line(error)
        # Where the folders lie on this machine is nobody's business who looks at the page.
        for path in (task.path, task.out):
            why = why.replace(str(path), path.name)
        return Told(reason=why)


def _find(
    network: Chassis, meta: checkpoint.Meta, backbone: Backbone, task: Task, say: Callable[[Told], None]
) -> None:
    """Write what is found in a video. Raises DataError where it cannot be read."""
    duration, fps = length_and_rate(task.path)
    say(Told(0.0, duration))
    features, origin = features_of(task.path, backbone, lambda second: say(Told(second, duration)))
    scores = snippet_scores(network, features, meta.config)
    proposals = tuple(localize(scores, meta.classes, origin.clock, meta.config.localize))
    curves = origin.edges, scores.attention, scores.cas[:, : len(meta.classes)]
    write_found(task.out, Found(task.name, task.fingerprint, fps, meta.classes, proposals, *curves))
