"""What the commands that only look at studies load before they answer."""

import subprocess
import sys
from pathlib import Path

import optuna

from hms_search.search.contract import contract_of, open_study
from hms_search.search.storage import close_storage, open_storage
from hms_search.search.study import read_study

QUICKSTART = Path(__file__).parents[2] / "studies" / "quickstart.yaml"
HEAVY = {"torch", "timm", "mlflow", "scipy", "pandas", "sklearn", "pyarrow", "plotly", "matplotlib"}
NETWORKS = {"torch", "timm", "hms_search.experiment"}
LOOK = f"""
import sys
from typer.testing import CliRunner
from hms_search.cli.app import app

for arguments in (["--help"], ["ls"], ["show", "quickstart"], ["report", "quickstart"]):
    answer = CliRunner().invoke(app, arguments)
    assert answer.exit_code == 0, answer.output
    loaded = {NETWORKS} if arguments[0] == "report" else {HEAVY}
    print(arguments[0], sorted(loaded & set(sys.modules)))
"""


def test_looking_at_studies_loads_neither_networks_nor_runs_nor_plots(tmp_path: Path) -> None:
    config = read_study(QUICKSTART)
    storage = open_storage(f"sqlite:///{tmp_path / 'mlruns' / 'optuna.db'}")
    study = open_study(config, contract_of(config, data="d", folds="f"), storage)
    study.add_trial(
        optuna.trial.create_trial(value=1.0, params={}, user_attrs={"outcome": "complete", "baseline": True})
    )
    close_storage(storage)
    ended = subprocess.run([sys.executable, "-c", LOOK], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert ended.stdout.splitlines() == ["--help []", "ls []", "show []", "report []"], ended.stderr
