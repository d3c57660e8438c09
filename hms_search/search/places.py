"""Where everything of a working directory lies."""

from dataclasses import dataclass
from pathlib import Path

from hms_search.component import fingerprint_of
from hms_search.data.labels import TaskName
from hms_search.search.data_config import SYNTHETIC, DataConfig


@dataclass(frozen=True)
class Places:
    """Where everything of a working directory lies; all of it under ``mlruns`` unless a server is named."""

    root: Path = Path("mlruns")
    storage_url: str | None = None
    tracking: str | None = None

    @property
    def storage(self) -> str:
        """The studies' storage URL."""
        return self.storage_url or f"sqlite:///{self.root.resolve() / 'optuna.db'}"

    @property
    def tracking_uri(self) -> str:
        """The MLflow tracking URI."""
        return self.tracking or f"sqlite:///{self.root.resolve() / 'mlflow.db'}"

    @property
    def artifacts(self) -> Path:
        """Where MLflow's artifacts lie when the tracking store is local."""
        return self.root / "artifacts"

    @property
    def pictures(self) -> Path:
        """Where optuna-dashboard finds the trials' learning curves."""
        return self.root / "dashboard"

    @property
    def models(self) -> Path:
        """Where promoted models and ensembles lie, a folder each."""
        return self.root / "models"

    @property
    def unfinished(self) -> Path:
        """Where the training of final models keeps what an interrupted promotion goes on with."""
        return self.root / "unfinished"

    @property
    def repeats(self) -> Path:
        """Where trials that were run again keep what they found, a folder per study."""
        return self.root / "repeats"

    def trials(self, study: str) -> Path:
        """Return where the unfinished trials of a study keep what they go on with, a folder each."""
        return self.root / "trials" / study

    def journals(self, study: str) -> Path:
        """Return where the runs of a study keep what the tracking store has not been told yet, a folder each."""
        return self.root / "journals" / study

    def lock(self, study: str) -> Path:
        """Return the file a running session of a study holds locked."""
        return self.root / "locks" / f"{study}.lock"

    def synthetic(self, data: DataConfig) -> Path:
        """Return the folder of a synthetic data set."""
        return self.root / "data" / f"synthetic-{data.synthetic.patients}p-seed{data.synthetic.seed}"

    def synthetic_seizures(self, data: DataConfig) -> Path:
        """Return the folder of a synthetic set of seizures."""
        return self.root / "data" / f"synthetic-seizures-{data.synthetic.patients}p-seed{data.synthetic.seed}"

    def prepared(self, task: TaskName, data: DataConfig) -> Path | None:
        """Return the folder of a study's prepared recordings; None where it reads its files as they are."""
        if task != "hms" or data.root is None:
            return None
        return self.store(self.synthetic(data) if data.root == SYNTHETIC else Path(data.root))

    def store(self, root: Path) -> Path:
        """Return the folder of the Store of a data folder."""
        return self.root / "stores" / f"{root.resolve().name}-{fingerprint_of(str(root.resolve()))}"
