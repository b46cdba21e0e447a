"""Time budgets and agreement as tables and CSV."""

import csv
import io

from wtal.core.structures import Segment
from wtal.evaluation.agreement import AgreementOptions, agreement_by_video, measure_agreement
from wtal.evaluation.time_budget import time_budget
from wtal.reporting.budget_tables import (
    agreement_notes,
    agreement_table,
    budget_csv,
    budget_remarks,
    budget_table,
    video_agreement_table,
    video_budget_table,
)

FIRST = {"v": [Segment("a", 0, 10), Segment("b", 4, 5)], "w": []}
SECOND = {"v": [Segment("a", 0, 8)], "w": [Segment("c", 1, 1)]}
DURATIONS = {"v": 20.0, "w": 20.0}
SIDES = {"annotated": time_budget(SECOND, DURATIONS), "predicted": time_budget(FIRST, DURATIONS)}


def cells(table, row):
    """The cells of a row by heading."""
    return dict(zip((name.replace("\n", " ") for name in table.columns), table.rows[row], strict=True))


def test_two_budgets_are_side_by_side_also_for_classes_of_one_alone():
    table = budget_table(SIDES)
    assert [row[0] for row in table.rows] == ["a", "b", "c"]
    a, b, c = (cells(table, row) for row in range(3))
    assert (a["annotated total"], a["predicted total"], a["predicted share (%)"]) == ("0:08.0", "0:10.0", "25.0")
    assert (b["annotated bouts"], b["annotated mean (s)"], c["annotated points"]) == ("0", "", "1")


def test_points_have_a_column_if_there_are_any():
    without_points = budget_table({"": SIDES["predicted"]})
    assert without_points.columns == ("class", "bouts", "total", "mean (s)", "median (s)", "share (%)")


def test_rows_of_videos_are_the_classes_that_occur_in_them():
    assert [row[:2] for row in video_budget_table(SIDES).rows] == [("v", "a"), ("v", "b"), ("w", "c")]
    assert [row[:2] for row in video_budget_table({"": SIDES["predicted"]}).rows] == [("v", "a"), ("v", "b")]


def test_agreement_ends_with_all_classes():
    table = agreement_table(measure_agreement(FIRST, SECOND, DURATIONS))
    assert [row[0] for row in table.rows] == ["a", "b", "c", "all classes"] and table.bold == (3,)
    assert (cells(table, 0)["kappa"], cells(table, 0)["recall (%)"]) == ("0.86", "100.0")
    assert cells(table, 2)["kappa"] == "", "points are in no bin"
    by_video = video_agreement_table(agreement_by_video(FIRST, SECOND, DURATIONS))
    assert [row[0] for row in by_video.rows] == ["v", "w"]


def test_notes_state_the_settings():
    notes = " ".join(agreement_notes(AgreementOptions(bin_width=0.04, min_tiou=0.3, tolerance=2)))
    assert all(setting in notes for setting in ("0.04 s", "0.3", "2 s"))


def test_remarks_name_what_is_unknown_or_counted_twice():
    overlapping = time_budget({"v": [Segment("a", 0, 5), Segment("a", 1, 30)], "w": []}, {"v": 20.0})
    (unknown, twice, beyond) = budget_remarks({"x": overlapping}, "the hint")
    assert "1 of 2 videos" in unknown and "(w)" in unknown and "the hint" in unknown
    assert twice.startswith("x: 1 of 2 bouts") and beyond.startswith("x: 1 of 2 bouts") and twice != beyond
    assert budget_remarks(SIDES) == []


def test_csv_has_a_row_for_each_video_and_class():
    budgets = SIDES["predicted"], SIDES["annotated"]
    agreement, by_video = (function(FIRST, SECOND, DURATIONS) for function in (measure_agreement, agreement_by_video))
    rows = list(csv.DictReader(io.StringIO(budget_csv(*budgets, agreement, by_video))))
    keys = [(row["video"], row["class"]) for row in rows]
    assert keys == [(id, label) for id in ("v", "w", "") for label in ("a", "b", "c", "")]
    a = rows[0]
    assert (a["total_s"], a["reference_total_s"], a["share"], a["precision"]) == ("10.0", "8.0", "0.5", "1.0")
    assert rows[3]["bouts"] == "" and float(rows[3]["kappa"]) == round(by_video["v"].overall.kappa, 6)
    assert float(rows[-1]["equal_bins"]) == agreement.overall.equal_bins


def test_csv_of_a_budget_alone_has_no_row_for_all_classes():
    rows = list(csv.DictReader(io.StringIO(budget_csv(SIDES["predicted"]))))
    assert {row["class"] for row in rows} == {"a", "b"} and list(rows[0])[-1] == "share"


def test_csv_is_safe_to_open_in_a_spreadsheet():
    text = budget_csv(time_budget({"=v": [Segment('@a,"b"', 0, 1)], "-w": []}))
    names = {(row["video"], row["class"]) for row in csv.DictReader(io.StringIO(text))}
    assert names == {("'=v", '\'@a,"b"'), ("'-w", '\'@a,"b"'), ("", '\'@a,"b"')}
