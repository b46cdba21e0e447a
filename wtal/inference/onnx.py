"""A run as one ONNX file: features in, snippet scores out, and in its metadata what draws a timeline of them."""

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
from wtal.core.errors import ConfigError
from wtal.core.io import atomic_write, require_output_file
from wtal.inference.localizer import probabilities
from wtal.models import checkpoint

INPUTS, OUTPUTS = ("features", "mask"), ("attention", "cas", "video")


class SnippetScorer(nn.Module):
    """`wtal.inference.localizer.snippet_scores` of a batch, as a network."""

    def __init__(self, network: nn.Module, config: Config) -> None:
        super().__init__()
        self.network, self.config = network, config

    def forward(self, features: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """B x T x D, B x T -> attention B x T, CAS as softened probabilities B x T x (C + 1), video B x C."""
        branch = self.network(features, mask)
        return branch.attention, *probabilities(branch.attention, branch.cas, mask, self.config)


def export_onnx(run: Path, out: Path) -> checkpoint.ModelMetadata:
    """Write the local branch of a run or model folder as ONNX, whole or not at all; B and T may be anything.

    What config.json says stands in the file's metadata, a JSON text each. Raises ConfigError where the name does
    not end in .onnx or the ONNX packages are missing, CheckpointError where `run` is none, DataError where
    nothing can be written.
    """
    if out.suffix != ".onnx":
        raise ConfigError(f"{out}: name a file that ends in .onnx")
    try:
        import_module("onnxscript")
    except ImportError as error:
        raise ConfigError("export needs the ONNX packages; pip install 'wtal[onnx]'") from error
    require_output_file(out, is_replaceable=_is_export)
    network, meta = checkpoint.load_local(run)

    def write(part: Path) -> None:
        program = _program(SnippetScorer(network, meta.config).eval(), sum(meta.modalities))
        for node in program.model.graph.all_nodes():
            node.metadata_props.clear()  # the lines of our source, with the paths of this machine
        program.model.metadata_props.update({name: json.dumps(value) for name, value in meta.to_json().items()})
        program.save(part, external_data=False)

    atomic_write(out, write)
    return meta


def _is_export(path: Path) -> bool:
    """Whether a file was written by `export_onnx`."""
    import onnx
    from google.protobuf.message import DecodeError  # what onnx reads with

    try:
        return any(entry.key == "snippet_seconds" for entry in onnx.load(path, load_external_data=False).metadata_props)
    except DecodeError:
        return False


def _program(scorer: SnippetScorer, width: int) -> ONNXProgram:
    example = torch.zeros(2, 40, width), torch.ones(2, 40, dtype=torch.bool)  # 0 and 1 would be taken for fixed
    any_length = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    attention = torch.ops.aten.scaled_dot_product_attention.default
    with _quiet():
        exported = torch.export.export(scorer, example, dynamic_shapes=(any_length, any_length))
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


def _attention(query: Tensor, key: Tensor, value: Tensor, seen: Tensor) -> Tensor:
    """In plain steps, as the exporter knows attention over four axes and ours has five. ... x N x H each."""
    alike = query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5
    return alike.masked_fill(~seen, -torch.inf).softmax(-1) @ value


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks on packages that we do not need, and on its own code."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)
            yield
    finally:
        log.setLevel(level)
