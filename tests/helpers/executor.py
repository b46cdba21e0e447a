"""A replacement for ProcessPoolExecutor."""

from concurrent.futures import Future

from wtal.core.errors import WtalError


class InProcessExecutor:
    """Runs each submitted task immediately in this process, so that tests are fast."""

    def __init__(self, workers: int, *_: object, **__: object) -> None:
        self.workers = workers

    def __enter__(self) -> "InProcessExecutor":
        return self

    def __exit__(self, *_: object) -> None: ...

    def shutdown(self, **_: object) -> None: ...

    def submit(self, function, *arguments):
        future: Future = Future()
        try:
            future.set_result(function(*arguments))
        except WtalError as error:
            future.set_exception(error)
        return future
