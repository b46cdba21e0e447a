"""The doctor says what works, and what does not: however a part fails, it is a finding with its mend."""

import io
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from wtal.cli import doctor
from wtal.cli.doctor import NECESSARY, Finding, diagnose, healthy, render_findings
from wtal.core import hardware
from wtal.core.errors import short_message
from wtal.video.backbones import i3d_weights

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")
GROUPS = ["installed", "devices", "backbones", "extras", "surroundings"]


@pytest.fixture(scope="module")
def findings(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WTAL_CACHE", str(tmp_path_factory.mktemp("cache")))
        return diagnose()


def found(findings, what):
    (finding,) = (finding for finding in findings if finding.what == what)
    return finding


def shown(findings, width=100):
    text = io.StringIO()
    render_findings(findings, Console(file=text, width=width, highlight=False))
    return text.getvalue()


def only(check, what="av", mend="do something", group="installed"):
    return doctor._look(group, what, check, mend)


def test_here_it_is_healthy(findings):
    assert healthy(findings), shown(findings)
    assert list(dict.fromkeys(finding.group for finding in findings)) == GROUPS
    assert set(NECESSARY) <= {finding.what for finding in findings}


def test_each_that_is_not_ok_can_be_mended_or_is_only_absent(findings):
    for finding in findings:
        assert finding.detail
        assert "\n" not in finding.detail + finding.mend
        assert not (finding.state == "ok" and finding.mend)
        assert not (finding.state == "broken" and not finding.mend)


def test_what_it_says_of_this_machine(findings):
    import av
    import torch

    assert found(findings, "python").detail.startswith(sys.version.split()[0])
    assert torch.__version__ in found(findings, "torch").detail
    assert f"ffmpeg {av.ffmpeg_version_info}" in found(findings, "av").detail
    assert all(codec in found(findings, "av").detail for codec in ("h264", "hevc", "vp9", "av1", "mpeg4"))
    assert "cores" in found(findings, "CPU").detail
    assert "GiB" in found(findings, "memory").detail
    assert found(findings, "tiny").detail.startswith("2 snippets of ")
    gpu = found(findings, "GPU")
    assert (gpu.state == "ok") == torch.cuda.is_available()


@pytest.mark.parametrize("module, what", [("transformers", "transformers"), ("cv2", "flow"), ("ray", "ray")])
def test_extras_that_are_here_are_ok(findings, module, what):
    if find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    assert found(findings, what).state == "ok", found(findings, what)


@pytest.mark.parametrize(
    "module, what, package",
    [
        ("transformers", "transformers", "transformers"),
        ("cv2", "flow", "opencv-python-headless"),
        ("ray", "ray", "ray[data]"),
    ],
)
def test_an_extra_that_is_not_installed_is_missing_and_named(monkeypatch, module, what, package):
    monkeypatch.setitem(sys.modules, module, None)
    finding = only(getattr(doctor, f"_{what}"), what)
    assert (finding.state, finding.detail) == ("missing", "not installed")
    assert f"pip install '{package}'" in finding.mend


@given(
    kind=st.sampled_from([ImportError, OSError, RuntimeError, AttributeError, ValueError, KeyError, SyntaxError]),
    message=st.text(),
    cause=st.none() | st.text(),
)
def test_however_a_part_fails_it_is_broken_in_one_line(kind, message, cause):
    def check():
        raise kind(message) from (None if cause is None else RuntimeError(cause))

    finding = only(check)
    assert finding.state == "broken"
    assert finding.mend == "do something"
    assert finding.detail.strip()
    assert len(finding.detail.splitlines()) == 1
    assert not healthy([finding])
    shown([finding])


def test_the_line_is_that_of_the_first_cause():
    try:
        try:
            raise RuntimeError("operator torchvision::nms does not exist\nand more")
        except RuntimeError as error:
            raise ImportError("could not import VivitModel") from error
    except ImportError as error:
        assert short_message(error) == "operator torchvision::nms does not exist"
    assert short_message(ValueError("  \n ")) == "ValueError"


def test_what_parts_print_and_warn_of_is_not_shown(capfd):
    def check():
        import warnings

        print("hello")
        print("hello", file=sys.stderr)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
        return "fine"

    assert only(check) == Finding("installed", "av", "ok", "fine")
    assert tuple(capfd.readouterr()) == ("", "")


def broken_module(place: Path, name: str, code: str) -> Path:
    """A folder to import from, where `name` is installed and fails so."""
    about = place / f"{name}-0.1.dist-info"
    (place / name).mkdir(parents=True)
    about.mkdir()
    (place / name / "__init__.py").write_text(code)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n")
    return place


def examined(check: str, path: Path) -> list[str]:
    """State, detail and mend of one check in a fresh Python that finds `path` first."""
    code = f"from wtal.cli import doctor; f = doctor._look('extras', 'x', doctor.{check}, 'mend it'); "
    code += "print(f.state); print(f.detail); print(f.mend)"
    said = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": f"{path}{os.pathsep}{Path(__file__).parents[2]}"},
        capture_output=True,
        text=True,
        check=True,
    )
    return said.stdout.splitlines()


@pytest.mark.skipif(find_spec("transformers") is None, reason="transformers is not installed")
def test_a_torchvision_that_does_not_fit_is_named(tmp_path):
    code = "raise RuntimeError('operator torchvision::nms does not exist')"
    state, detail, mend = examined("_transformers", broken_module(tmp_path, "torchvision", code))
    assert state == "broken"
    assert detail == "torchvision 0.1 does not fit PyTorch: operator torchvision::nms does not exist"
    assert mend.startswith("pip uninstall torchvision")


@pytest.mark.parametrize(
    "code, said",
    [
        (
            "raise OSError('libGL.so.1: cannot open shared object file')",
            "libGL.so.1: cannot open shared object file",
        ),
        ("raise ImportError('numpy.core.multiarray failed to import')", "numpy.core.multiarray failed to import"),
        ("def (", "invalid syntax"),
    ],
)
def test_a_broken_install_is_a_finding(tmp_path, code, said):
    state, detail, mend = examined("_flow", broken_module(tmp_path, "cv2", code))
    assert state == "broken"
    assert said in detail
    assert mend == "mend it"


def test_a_decoder_that_is_not_there_is_named(monkeypatch):
    import av

    monkeypatch.setattr(av, "codecs_available", av.codecs_available - {"hevc", "libdav1d"})
    finding = only(doctor._av)
    assert finding.state == "broken"
    assert "lacks the decoder of hevc, av1" in finding.detail


@pytest.mark.parametrize(
    "files, cores, memory",
    [
        ({}, None, None),
        ({"cpu.max": "max 100000", "memory.max": "max"}, None, None),
        ({"cpu.max": "150000 100000", "memory.max": str(3 << 30)}, 1.5, 3 << 30),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None, None),
        (
            {
                "cpu/cpu.cfs_quota_us": "50000",
                "cpu/cpu.cfs_period_us": "100000",
                "memory/memory.limit_in_bytes": str(4 << 30),
            },
            0.5,
            4 << 30,
        ),
    ],
)
def test_what_a_container_allows(tmp_path, monkeypatch, files, cores, memory):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    monkeypatch.setattr(hardware, "CGROUP_ROOT", tmp_path)
    assert hardware._quota() == cores
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 1 << 22}.get)  # 16 GiB
    finding = only(doctor._memory)
    assert finding.state == "ok"
    assert (f"{memory >> 30}.0" if memory else "16.0 GiB") in finding.detail
    assert ("container" in finding.detail) == bool(memory)


def test_a_machine_with_too_little_memory_is_told_what_still_works(tmp_path, monkeypatch):
    monkeypatch.setattr(hardware, "CGROUP_ROOT", tmp_path)
    (tmp_path / "memory.max").write_text(str(1 << 30))
    finding = only(doctor._memory)
    assert (finding.state, finding.detail) == ("broken", "1.0 GiB")
    assert "tiny" in finding.mend


def test_a_cache_that_cannot_be_written_is_broken(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("WTAL_CACHE", str(tmp_path / "file" / "wtal"))
    assert only(doctor._cache).state == "broken"
    monkeypatch.setenv("WTAL_CACHE", str(tmp_path / "wtal"))
    assert only(doctor._cache).detail == f"{tmp_path / 'wtal'} can be written"
    assert list((tmp_path / "wtal").iterdir()) == []


def test_the_weights_of_i3d_are_missing_or_damaged_or_there(tmp_path, monkeypatch):
    monkeypatch.setenv("WTAL_CACHE", str(tmp_path))
    missing = only(doctor._i3d)
    assert (missing.state, missing.detail) == ("missing", f"its weights are not in {tmp_path}")
    assert missing.mend.startswith("run `wtal weights` once")
    i3d_weights.cached().write_bytes(b"half of it")
    damaged = only(doctor._i3d)
    assert damaged.state == "broken"
    assert str(i3d_weights.cached()) in damaged.detail
    assert damaged.mend not in ("", "do something"), "what the error itself says to do"
    monkeypatch.setattr(i3d_weights, "load", lambda place: ({}, "sha256:0123456789abcdef"))
    assert only(doctor._i3d) == Finding("installed", "av", "ok", f"weights 0123456789ab in {i3d_weights.cached()}")


@pytest.mark.parametrize("encoding, ok", [("utf-8", True), ("ascii", False), ("cp1252", False), (None, False)])
def test_a_terminal_that_cannot_show_timelines_is_told(encoding, ok):
    finding = only(lambda: doctor._terminal(encoding))
    assert (finding.state == "ok") == ok


@pytest.mark.parametrize("what", NECESSARY)
@pytest.mark.parametrize("state", ["missing", "broken"])
def test_without_what_is_necessary_it_is_not_healthy(findings, what, state):
    ill = [Finding(f.group, f.what, state, "gone", "mend") if f.what == what else f for f in findings]
    assert not healthy(ill)
    assert f"not healthy: {what} must work" in shown(ill)


def test_without_what_is_not_necessary_it_stays_healthy(findings):
    bare = [f if f.what in NECESSARY else Finding(f.group, f.what, "broken", "gone", "mend") for f in findings]
    assert healthy(bare)
    assert "healthy: from videos to timelines" in shown(bare)


@pytest.mark.parametrize("width", [20, 60, 200])
def test_the_table_shows_all_as_it_is(width):
    odd = [
        Finding("installed", "av", "broken", "[red]no such file[/red] [/", "run `pip install av[extra]`"),
        Finding("extras", "ray", "missing", "not installed", "pip install 'ray[data]'"),
    ]
    lines = [line.strip() for line in shown(odd, width).splitlines()]
    assert lines[:3] == [
        "installed",
        "av              broken   [red]no such file[/red] [/",
        "run `pip install av[extra]`",
    ]
    assert lines[3:6] == ["extras", "ray             missing  not installed", "pip install 'ray[data]'"]
