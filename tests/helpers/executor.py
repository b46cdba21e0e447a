"""A replacement for a process pool that runs each task at once in this process."""

from concurrent.futures import Future

from wtal.core.errors import WtalError


class InProcessExecutor:
    """Runs each submitted task at once and in this process, so that tests stay fast."""

    def __init__(self, workers: int, *_: object, **__: object) -> None:
        self.workers = workers

    def __enter__(self) -> "InProcessExecutor":
        return self

    def __exit__(self, *_: object) -> None: ...

    def shutdown(self, **_: object) -> None: ...

    def submit(self, work, *arguments):
        future: Future = Future()
        try:
            future.set_result(work(*arguments))
        except WtalError as error:
            future.set_exception(error)
        return future
