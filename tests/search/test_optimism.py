from pathlib import Path

import optuna
import pytest

from hms_search.cli.tables import print_report
from hms_search.search.contract import contract_of, open_study
from hms_search.search.report import report_of
from hms_search.search.study import read_study

QUICKSTART = Path(__file__).parents[2] / "studies" / "quickstart.yaml"
SEARCHED = 'space.parameters.training.select={"type": "categorical", "choices": ["last", "best"]}'


@pytest.mark.parametrize(
    ("settings", "optimistic"),
    [((), False), (("space.base.training.select=best",), True), ((SEARCHED,), True)],
)
def test_values_that_flatter_are_called_so_wherever_a_study_is_shown(
    settings: tuple[str, ...], optimistic: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    config = read_study(QUICKSTART, settings)
    study = open_study(config, contract_of(config, data="d", folds="f"), optuna.storages.InMemoryStorage())
    report = report_of(study)
    assert report.optimistic == optimistic
    print_report(report)
    assert ("optimistic: epochs are chosen on the rows they are scored on" in capsys.readouterr().out) == optimistic
