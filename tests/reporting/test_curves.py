"""Curves: the area under precision over recall is average precision; metrics are read from incomplete files."""

import numpy as np
import pytest

from tests.helpers.report import CLASSES, make_video
from wtal.core.structures import Segment
from wtal.evaluation.evaluate import evaluate_with_matches
from wtal.evaluation.protocols import EvaluationOptions
from wtal.reporting.curves import mean_curve, precision_recall_curves, read_metrics
from wtal.reporting.html.charts import training_charts


def test_area_under_the_mean_curve_is_map():
    rng = np.random.default_rng(1)
    truth = [make_video(str(i), label) for i, label in enumerate(CLASSES * 20)]
    proposals = {
        v.id: [Segment(v.labels[0], 1 + rng.normal(0, 0.1), 2 + rng.normal(0, 0.1), rng.random()) for _ in range(3)]
        for v in truth
    }
    evaluation = evaluate_with_matches(proposals, truth, EvaluationOptions("thumos14-212"))
    for index, expected in enumerate(evaluation.result.map):
        curves = precision_recall_curves(evaluation, index)
        recall, precision = mean_curve(curves.values())
        assert np.trapezoid(precision, recall) == pytest.approx(expected, abs=0.01)
        for label, curve in curves.items():
            area = np.trapezoid(curve[1], curve[0]) if curve.shape[1] else 0.0
            assert area == pytest.approx(evaluation.result.per_class[label][index], abs=1e-6)


def test_incomplete_metrics_line_is_skipped(tmp_path):
    lines = [
        '{"step": 1, "mil": 2.0, "note": "x"}',
        '{"step": 2, "mil": 1.5}',
        "{",
    ]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines))
    metrics = read_metrics(tmp_path)
    assert metrics["mil"].tolist() == [[1, 2], [2, 1.5]]
    (chart,) = training_charts(metrics)
    assert len(chart.lines) == 1
    assert read_metrics(tmp_path / "missing") == {}
