"""Export a model as one ONNX file: features in, snippet scores out, with the settings for localization as metadata."""

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.onnx import ONNXProgram

from wtal.core.config import Config
from wtal.core.errors import ConfigError, DataError
from wtal.core.io import atomic_write
from wtal.inference.localizer import class_probabilities
from wtal.models.checkpoint import ModelMetadata, load_model

INPUTS, OUTPUTS = ("features", "mask"), ("attention", "cas", "video")


class SnippetScorer(nn.Module):
    """`wtal.inference.localizer.snippet_scores` of a batch, as a network."""

    def __init__(self, network: nn.Module, config: Config) -> None:
        super().__init__()
        self.network, self.config = network, config

    def forward(self, features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compute snippet scores.

        Args:
            features: B x T x D.
            mask: True on real snippets, B x T.

        Returns:
            Attention, B x T; class probabilities of snippets, B x T x (C + 1), and of videos, B x C.
        """
        branch = self.network(features, mask)
        return branch.attention, *class_probabilities(branch.attention, branch.cas, mask, self.config)


def export_onnx(run: Path, out: Path) -> ModelMetadata:
    """Write a model as an ONNX file, atomically. B and T are dynamic.

    The entries of config.json are the metadata of the file, each as JSON.

    Args:
        run: A run or model folder.
        out: The .onnx file to write.

    Raises:
        ConfigError: `out` does not end in .onnx, the ONNX packages are not installed, or the network of a custom
            method cannot be exported (code `export-failed`).
        CheckpointError: `run` is not a run or model folder.
        DataError: `out` is not an earlier export, or cannot be written.
    """
    if out.suffix != ".onnx":
        raise ConfigError("not the name of an ONNX file", path=out, hint="use the suffix .onnx", code="invalid-value")
    try:
        import_module("onnxscript")
    except ImportError as error:
        raise ConfigError(
            "export needs the ONNX packages", hint="pip install 'wtal[onnx]'", code="missing-dependency"
        ) from error
    _require_replaceable(out)
    network, meta = load_model(run)

    def write(part: Path) -> None:
        try:
            program = _to_onnx(SnippetScorer(network, meta.config).eval(), sum(meta.modalities))
        except (RuntimeError, ValueError) as error:  # the base classes of the exporter's errors
            reason = str(error).strip().partition("\n")[0]
            raise ConfigError(
                f"the network of method {meta.config.method!r} cannot be exported ({reason})",
                path=run,
                hint="use operations that torch.export supports for any number of snippets, not recurrent layers",
                code="export-failed",
            ) from error
        for node in program.model.graph.all_nodes():
            node.metadata_props.clear()  # source lines with paths of this machine
        program.model.metadata_props.update({name: json.dumps(value) for name, value in meta.to_json().items()})
        program.save(part, external_data=False)

    atomic_write(out, write)
    return meta


def _require_replaceable(out: Path) -> None:
    """Raise DataError if a file exists that is not an earlier export."""
    import onnx
    from google.protobuf.message import DecodeError  # raised by onnx

    if out.is_dir():
        raise DataError("this is a folder", path=out, hint="pass a file", code="not-a-file")
    if not out.exists():
        return
    try:
        keys = {entry.key for entry in onnx.load(out, load_external_data=False).metadata_props}
    except DecodeError:
        keys = set()
    if "snippet_seconds" not in keys:
        raise DataError(
            "the file exists and is not an earlier export", path=out, hint="pass another file", code="already-exists"
        )


def _to_onnx(scorer: SnippetScorer, width: int) -> ONNXProgram:
    example = torch.zeros(2, 40, width), torch.ones(2, 40, dtype=torch.bool)  # sizes 0 and 1 would be taken as fixed
    dynamic = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    attention = torch.ops.aten.scaled_dot_product_attention.default
    with _suppress_exporter_messages():
        exported = torch.export.export(scorer, example, dynamic_shapes=(dynamic, dynamic))
        exported = exported.run_decompositions({attention: _attention})
        program = torch.onnx.export(
            exported,
            dynamic_shapes=({0: "B", 1: "T"}, None),  # their names; the mask has the same axes
            input_names=INPUTS,
            output_names=OUTPUTS,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    return program


def _attention(query: Tensor, key: Tensor, value: Tensor, visible: Tensor) -> Tensor:
    """Attention in elementary operations: the exporter supports four axes, ours has five. ... x N x H each."""
    similarity = query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5
    return similarity.masked_fill(~visible, -torch.inf).softmax(-1) @ value


@contextmanager
def _suppress_exporter_messages() -> Iterator[None]:
    """Without the exporter's messages about optional packages and its own code."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)
            warnings.filterwarnings("ignore", r"The tensor attributes? .* assigned during export", UserWarning)
            yield
    finally:
        log.setLevel(level)
