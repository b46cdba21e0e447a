"""A project on the web page: tagging its videos, training, and the timelines of its newest model."""

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from wtal.core.errors import WtalError
from wtal.core.io import directory_lock
from wtal.data.video_files import VIDEO_SUFFIXES
from wtal.experiments.project import Project
from wtal.experiments.project_models import newest_model
from wtal.video.backbones.registry import BackboneOptions
from wtal.web.models import displayable
from wtal.web.service import AnnotationService, prepare_store, run_service
from wtal.web.tagging import Tagging
from wtal.web.thumbnails import THUMBNAILS_DIR, Thumbnails
from wtal.web.training import Training
from wtal.web.uploads import MAX_UPLOAD_BYTES
from wtal.web.videos import VideoLibrary


class ProjectSite:
    """What the page shows of a project; `open_project_site` creates it. The service is replaced after each training.

    Attributes:
        project: The project.
        library: Its videos.
        thumbnails: A small image of each video.
        tagging: The tags.
        training: The steps in the background.
        service: Timelines and corrections, None while there is no model.
    """

    def __init__(self, project: Project, options: BackboneOptions) -> None:
        self.project, self._options = project, options
        self.library = VideoLibrary(project.videos_folder)
        self.thumbnails = Thumbnails(project.page / THUMBNAILS_DIR, self.library)
        self.tagging = Tagging(project, self.library)
        self.training = Training(project, project.page, self.tagging.signature, self.refresh)
        self.service: AnnotationService | None = None
        self._is_opening = False
        self._error = ""  # why the model cannot be used
        self._lock = threading.Lock()
        self._open_services = ExitStack()

    def refresh(self) -> None:
        """Use the newest model, and predict the videos that have no timeline yet."""
        with self._lock:
            try:
                model = newest_model(self.project)
                if model is None:
                    return
                self._is_opening = True
                self._close_service()
                page, data = self.project.page, self.project.data
                service = self._open_services.enter_context(
                    run_service(model, self.library, self.thumbnails, page, self._options, data)
                )
                service.run_detection(service.unpredicted())
                self.service, self._error = service, ""
            except WtalError as error:
                self._close_service()
                self._error = str(error)
            finally:
                self._is_opening = False

    def run_detection(self, keys: Iterable[str]) -> None:
        """Queue videos for the current model; without a model, they are predicted after training. Raises DataError."""
        if service := self.service:
            service.run_detection(keys)

    def close(self) -> None:
        """End all processes."""
        self.training.close()
        with self._lock:
            self._close_service()
        self.thumbnails.close()

    def describe(self) -> dict[str, Any]:
        """What the page shows of the project."""
        training, tagging = self.training.describe(), self.tagging.describe()
        if self._is_opening:
            training |= {"state": "opening"}
        elif self._error and training["state"] != "running":
            training |= {"state": "failed", "error": self._error}
        return {
            "folder": displayable(self.library.folder.name),
            "has_model": self.service is not None,
            **tagging,
            "error": self._without_folder(tagging["error"]),
            "training": training | {"error": self._without_folder(training["error"])},
            "max_upload_bytes": MAX_UPLOAD_BYTES,
            "video_suffixes": sorted(VIDEO_SUFFIXES),
        }

    def _without_folder(self, text: str) -> str:
        return text.replace(f"{self.project.folder}{os.sep}", "")

    def _close_service(self) -> None:
        self.service = None
        self._open_services.close()
        self._open_services = ExitStack()


@contextmanager
def open_project_site(project: Project, options: BackboneOptions) -> Iterator[ProjectSite]:
    """Open the page of a project.

    Args:
        project: The project.
        options: How features are extracted.

    Raises:
        DataError: A folder cannot be used, or another server shows the project.
    """
    with directory_lock(project.page, "open the page of the `wtal start` that is running"):
        site = ProjectSite(project, options)
        prepare_store(project.page, site.library.uploads)
        try:
            site.refresh()
            site.training.open()
            yield site
        finally:
            site.close()
