"""Compute segments with an exported model, without PyTorch. Run `wtal export RUN --onnx model.onnx`, then

python examples/onnx_timeline.py model.onnx clip01.npy
"""

import json
import sys
from types import SimpleNamespace

import numpy as np
import onnxruntime

from wtal.core.clock import SnippetClock
from wtal.inference.proposals import SnippetScores, generate_proposals


def timeline(model, features):
    """T x D features with evenly spaced snippets -> the proposals of the run, by descending score."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    about = {name: json.loads(text) for name, text in session.get_modelmeta().custom_metadata_map.items()}
    batch = {"features": features[None].astype(np.float32), "mask": np.ones((1, len(features)), bool)}
    attention, cas, video = session.run(["attention", "cas", "video"], batch)
    scores = SnippetScores(attention[0], cas[0], video[0])
    clock = SnippetClock(about["snippet_seconds"], about["offset_seconds"])
    settings = SimpleNamespace(**about["config"]["localize"])
    return generate_proposals(scores, about["classes"], clock, settings, features)


if __name__ == "__main__":
    model, features = sys.argv[1:]
    for proposal in timeline(model, np.load(features)):
        print(f"{proposal.start:9.2f} to {proposal.end:9.2f} s  {proposal.score:5.3f}  {proposal.label}")
