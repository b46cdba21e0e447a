"""The web page answers its owner while others hold more connections than the server has file descriptors."""

import pytest

from benchmarks.connections import DESCRIPTORS, SILENT, SLOW, answer_seconds, hold_connections, run_limited_server


@pytest.mark.slow
def test_owner_is_answered_beside_silent_connections(own_videos, tmp_path):
    for name in ("run", "videos"):
        (tmp_path / name).symlink_to(own_videos / name)
    assert SILENT > DESCRIPTORS
    with run_limited_server(tmp_path) as port, hold_connections(port, SILENT, SLOW):
        for _ in range(5):
            answer_seconds(port, pause=0.5)
    log = (tmp_path / "log").read_text()
    assert len(log.splitlines()) < 10 and "Traceback" not in log
