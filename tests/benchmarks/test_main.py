"""`python -m benchmarks`: help, and a name that does not exist."""

import pytest

from benchmarks.__main__ import main


def test_help_measures_nothing(capsys):
    main(["--help"])
    assert "RESULTS.md" in capsys.readouterr().out


def test_unknown_measurement_is_refused(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["nowhere"])
    assert capsys.readouterr().err.startswith("error: no measurement 'nowhere'; use evaluation, ")
