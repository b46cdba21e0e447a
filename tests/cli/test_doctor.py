"""`wtal doctor` reports the state of each part; a check that fails in any way becomes a finding with a fix."""

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
from wtal.cli.doctor import REQUIRED, Finding, diagnose, is_healthy, render_findings
from wtal.core import hardware
from wtal.core.errors import short_message
from wtal.video.backbones import i3d_weights
from wtal.video.backbones.cache import cached_weights

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")
GROUPS = ["installed", "devices", "backbones", "extras", "environment"]


@pytest.fixture(scope="module")
def findings(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WTAL_CACHE", str(tmp_path_factory.mktemp("cache")))
        return diagnose()


def by_name(findings, name):
    (finding,) = (finding for finding in findings if finding.name == name)
    return finding


def rendered(findings, width=100):
    text = io.StringIO()
    render_findings(findings, Console(file=text, width=width, highlight=False))
    return text.getvalue()


def run_check(check, name="av", hint="do something"):
    return doctor._run_check("installed", name, check, hint)


def test_this_machine_is_healthy(findings):
    assert is_healthy(findings), rendered(findings)
    assert list(dict.fromkeys(finding.group for finding in findings)) == GROUPS
    assert set(REQUIRED) <= {finding.name for finding in findings}


def test_broken_findings_have_a_hint_and_ok_findings_have_none(findings):
    for finding in findings:
        assert finding.detail
        assert "\n" not in finding.detail + finding.hint
        assert not (finding.state == "ok" and finding.hint)
        assert not (finding.state == "broken" and not finding.hint)


def test_details_describe_this_machine(findings):
    import av
    import torch

    assert by_name(findings, "python").detail.startswith(sys.version.split()[0])
    assert torch.__version__ in by_name(findings, "torch").detail
    assert f"ffmpeg {av.ffmpeg_version_info}" in by_name(findings, "av").detail
    assert all(codec in by_name(findings, "av").detail for codec in ("h264", "hevc", "vp9", "av1", "mpeg4"))
    assert "cores" in by_name(findings, "CPU").detail
    assert "GiB" in by_name(findings, "memory").detail
    assert by_name(findings, "tiny").detail.startswith("2 snippets of ")
    gpu = by_name(findings, "GPU")
    assert (gpu.state == "ok") == torch.cuda.is_available()


@pytest.mark.parametrize("module, name", [("transformers", "transformers"), ("cv2", "flow"), ("ray", "ray")])
def test_installed_extras_are_ok(findings, module, name):
    if find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    assert by_name(findings, name).state == "ok", by_name(findings, name)


@pytest.mark.parametrize("module, name", [("transformers", "transformers"), ("cv2", "flow"), ("ray", "ray")])
def test_missing_extra_is_reported(monkeypatch, module, name):
    monkeypatch.setitem(sys.modules, module, None)
    finding = run_check(getattr(doctor, f"_{name}"), name)
    assert (finding.state, finding.detail) == ("missing", "not installed")
    assert f"pip install 'wtal[{name}]'" in finding.hint


@given(
    kind=st.sampled_from([ImportError, OSError, RuntimeError, AttributeError, ValueError, KeyError, SyntaxError]),
    message=st.text(),
    cause=st.none() | st.text(),
)
def test_any_exception_becomes_a_one_line_finding(kind, message, cause):
    def check():
        raise kind(message) from (None if cause is None else RuntimeError(cause))

    finding = run_check(check)
    assert finding.state == "broken"
    assert finding.hint == "do something"
    assert finding.detail.strip()
    assert len(finding.detail.splitlines()) == 1
    assert not is_healthy([finding])
    rendered([finding])


def test_short_message_is_that_of_the_root_cause():
    try:
        try:
            raise RuntimeError("operator torchvision::nms does not exist\nand more")
        except RuntimeError as error:
            raise ImportError("could not import VivitModel") from error
    except ImportError as error:
        assert short_message(error) == "operator torchvision::nms does not exist"
    assert short_message(ValueError("  \n ")) == "ValueError"


def test_output_and_warnings_of_checks_are_hidden(capfd):
    def check():
        import warnings

        print("hello")
        print("hello", file=sys.stderr)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
        return "fine"

    assert run_check(check) == Finding("installed", "av", "ok", "fine")
    assert tuple(capfd.readouterr()) == ("", "")


def broken_module(folder: Path, name: str, code: str) -> Path:
    """Install a module that runs `code` on import into a folder."""
    metadata = folder / f"{name}-0.1.dist-info"
    (folder / name).mkdir(parents=True)
    metadata.mkdir()
    (folder / name / "__init__.py").write_text(code)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n")
    return folder


def run_in_subprocess(check: str, path: Path) -> list[str]:
    """State, detail and hint of one check in a new interpreter that imports from `path` first."""
    code = f"from wtal.cli import doctor; f = doctor._run_check('extras', 'x', doctor.{check}, 'fix it'); "
    code += "print(f.state); print(f.detail); print(f.hint)"
    output = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": f"{path}{os.pathsep}{Path(__file__).parents[2]}"},
        capture_output=True,
        text=True,
        check=True,
    )
    return output.stdout.splitlines()


@pytest.mark.skipif(find_spec("transformers") is None, reason="transformers is not installed")
def test_mismatched_torchvision_is_reported(tmp_path):
    code = "raise RuntimeError('operator torchvision::nms does not exist')"
    state, detail, hint = run_in_subprocess("_transformers", broken_module(tmp_path, "torchvision", code))
    assert state == "broken"
    assert "torchvision 0.1" in detail and "operator torchvision::nms does not exist" in detail
    assert "pip uninstall torchvision" in hint


@pytest.mark.parametrize(
    "code, message",
    [
        (
            "raise OSError('libGL.so.1: cannot open shared object file')",
            "libGL.so.1: cannot open shared object file",
        ),
        ("raise ImportError('numpy.core.multiarray failed to import')", "numpy.core.multiarray failed to import"),
        ("def (", "invalid syntax"),
    ],
)
def test_broken_installation_is_reported(tmp_path, code, message):
    state, detail, hint = run_in_subprocess("_flow", broken_module(tmp_path, "cv2", code))
    assert state == "broken"
    assert message in detail
    assert hint == "fix it"


def test_missing_decoder_is_reported(monkeypatch):
    import av

    monkeypatch.setattr(av, "codecs_available", av.codecs_available - {"hevc", "libdav1d"})
    finding = run_check(doctor._av)
    assert finding.state == "broken"
    assert "hevc, av1" in finding.detail


@pytest.mark.parametrize("limit", [None, 3])
def test_memory_limit_of_container_is_shown(tmp_path, monkeypatch, limit):
    monkeypatch.setattr(hardware, "CGROUP_ROOT", tmp_path)
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 1 << 22}.get)  # 16 GiB
    if limit:
        (tmp_path / "memory.max").write_text(str(limit << 30))
    finding = run_check(doctor._memory)
    assert finding.state == "ok"
    assert (f"{limit}.0" if limit else "16.0 GiB") in finding.detail
    assert ("container" in finding.detail) == bool(limit)


def test_low_memory_suggests_the_tiny_backbone(tmp_path, monkeypatch):
    monkeypatch.setattr(hardware, "CGROUP_ROOT", tmp_path)
    (tmp_path / "memory.max").write_text(str(1 << 30))
    finding = run_check(doctor._memory)
    assert (finding.state, finding.detail) == ("broken", "1.0 GiB")
    assert "tiny" in finding.hint


def test_unwritable_cache_is_broken(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("WTAL_CACHE", str(tmp_path / "file" / "wtal"))
    assert run_check(doctor._cache).state == "broken"
    monkeypatch.setenv("WTAL_CACHE", str(tmp_path / "wtal"))
    assert run_check(doctor._cache).state == "ok"
    assert list((tmp_path / "wtal").iterdir()) == []


def test_i3d_weights_are_missing_damaged_or_ok(tmp_path, monkeypatch):
    monkeypatch.setenv("WTAL_CACHE", str(tmp_path))
    missing = run_check(doctor._i3d)
    assert missing.state == "missing" and str(tmp_path) in missing.detail and "wtal weights" in missing.hint
    cached_weights().write_bytes(b"half of it")
    damaged = run_check(doctor._i3d)
    assert damaged.state == "broken"
    assert str(cached_weights()) in damaged.detail
    assert damaged.hint not in ("", "do something"), "the hint of the error itself"
    monkeypatch.setattr(i3d_weights, "load_weights", lambda path: ({}, "sha256:0123456789abcdef"))
    detail = f"weights 0123456789ab in {cached_weights()}"
    assert run_check(doctor._i3d) == Finding("installed", "av", "ok", detail)


@pytest.mark.parametrize("encoding, ok", [("utf-8", True), ("ascii", False), ("cp1252", False), (None, False)])
def test_terminal_encoding_is_checked(encoding, ok):
    finding = run_check(lambda: doctor._terminal(encoding))
    assert (finding.state == "ok") == ok


@pytest.mark.parametrize("name", REQUIRED)
@pytest.mark.parametrize("state", ["missing", "broken"])
def test_required_parts_decide_health(findings, name, state):
    failing = [Finding(f.group, f.name, state, "gone", "fix") if f.name == name else f for f in findings]
    assert not is_healthy(failing)
    assert name in rendered(failing).splitlines()[-1]


def test_optional_parts_do_not_decide_health(findings):
    optional = [f if f.name in REQUIRED else Finding(f.group, f.name, "broken", "gone", "fix") for f in findings]
    assert is_healthy(optional)


@pytest.mark.parametrize("width", [20, 60, 200])
def test_table_shows_text_without_markup_or_wrapping(width):
    odd = [
        Finding("installed", "av", "broken", "[red]no such file[/red] [/", "run `pip install av[extra]`"),
        Finding("extras", "ray", "missing", "not installed", "pip install 'ray[data]'"),
    ]
    lines = [line.strip() for line in rendered(odd, width).splitlines()]
    assert lines[:3] == [
        "installed",
        "av              broken   [red]no such file[/red] [/",
        "run `pip install av[extra]`",
    ]
    assert lines[3:6] == ["extras", "ray             missing  not installed", "pip install 'ray[data]'"]
