"""What a study will take, and what it changes of the stored one."""

from functools import cache
from pathlib import Path

import pytest
from optuna.trial import FrozenTrial, create_trial

from hms_search.data.prepare import prepare
from hms_search.data.progress import Progress
from hms_search.data.sample_count import counted_samples
from hms_search.data.sampling import EegMiddleSampling, LabelSampling, MaxVoteSampling, Sampling, SpectrogramSampling
from hms_search.data.store import Store
from hms_search.data.synthetic import write_synthetic
from hms_search.document import parse_yaml
from hms_search.host_processors import usable_processors
from hms_search.search.contract import contract_of, open_study
from hms_search.search.history import StudyHistory
from hms_search.search.places import Places
from hms_search.search.plan import extremes, plan_study, stored_history
from hms_search.search.space_difference import difference
from hms_search.search.step_timing import time_batches
from hms_search.search.storage import close_storage, open_storage
from hms_search.search.study import StudyConfig, read_study, study_from_document

EPILEPSY = Path(__file__).parents[2] / "studies" / "epilepsy_cnn.yaml"
STUDY = """\
name: small
space:
  name: small
  base:
    pipeline: {source: spectrogram, normalise: {name: datawide}, resize: [32, 48]}
    model: {name: timm, backbone: test_resnet, weights: none, dropout: 0.0}
    training: {epochs: 2, batch_size: 4, optimiser: {name: adamw, lr: 1.0e-3}, scheduler: {name: cosine}}
  parameters:
    training.optimiser.lr: {type: float, low: 1.0e-4, high: 1.0e-2, log: true}
    training.batch_size: {type: int, low: 4, high: 8}
    pipeline.normalise: {type: categorical, choices: {instance: {name: instance}, datawide: {name: datawide}}}
data: {sampling: {name: eeg_middle}}
trials: 6
workers: 2
device: cpu
"""
LR = "training.optimiser.lr"


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of synthetic recordings of eight patients."""
    root = tmp_path_factory.mktemp("recordings") / "synthetic"
    write_synthetic(root, n_patients=8, seed=5, workers=1)
    return root


@cache
def config(*settings: str) -> StudyConfig:
    document = parse_yaml(STUDY, source="small.yaml")
    for setting in settings:
        document = document.with_setting(setting)
    return study_from_document(document)


def unseen(title: str, step: Progress) -> None:
    """Take no notice of progress."""


def ran(study: StudyConfig, **params: object) -> FrozenTrial:
    """A completed trial of a study."""
    everything = {**study.space.baseline(), **params}
    paths = study.space.parameters
    return create_trial(
        value=0.5,
        params=everything,
        distributions={path: parameter.distribution for path, parameter in paths.items()},
        user_attrs={"outcome": "complete"},
    )


def stored(*rates: float, choice: str = "datawide") -> StudyHistory:
    normalise = "pipeline.normalise"
    return StudyHistory(config(), tuple(ran(config(), **{LR: rate, normalise: choice}) for rate in rates))


def test_a_study_that_is_not_there_is_new_and_an_equal_one_the_same() -> None:
    assert difference(None, config()).kind == "new"
    found = difference(stored(1e-3), config("trials=50", "workers=1"))
    assert (found.kind, found.lines) == ("same", ())


def test_another_range_can_take_over_the_trials_that_lie_in_it() -> None:
    found = difference(stored(2e-4, 1e-3, 5e-3), config(f"space.parameters.{LR}.low=5.0e-4"))
    assert (found.kind, found.trials, found.fitting) == ("migratable", 3, 2)
    (line,) = found.lines
    assert line.startswith(f"parameters.{LR}: ")
    assert '"low": 0.0001' in line
    assert '"low": 0.0005' in line


def test_a_parameter_that_is_fixed_now_keeps_the_trials_that_had_its_value() -> None:
    document = parse_yaml(STUDY, source="small.yaml")
    del document.content["space"]["parameters"]["pipeline.normalise"]
    without = study_from_document(document)
    assert difference(stored(1e-3, 2e-3), without).fitting == 2
    assert difference(stored(1e-3, 2e-3, choice="instance"), without).fitting == 0
    back = StudyHistory(without, tuple(ran(without, **{LR: rate}) for rate in (1e-3, 2e-3)))
    found = difference(back, config())
    assert (found.kind, found.fitting) == ("migratable", 2)
    assert "fixed at" in found.lines[0]


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ("space.base.model.backbone=test_efficientnet", "base.model.backbone: test_resnet -> test_efficientnet"),
        ("folds={name: grouped, n_folds: 2, seed: 3}", "folds: "),
        ("seed=4", "seed: 0 -> 4"),
        ("data.sampling={name: label}", "data.sampling: "),
        ("data.root=synthetic", "data.root: null -> synthetic"),
        (
            "space.parameters.pipeline.normalise.choices.instance={name: robust}",
            'parameters.pipeline.normalise.choices.instance: {"name": "instance"} -> {"name": "robust"}',
        ),
    ],
)
def test_trials_of_another_experiment_or_on_other_folds_cannot_be_taken_over(setting: str, line: str) -> None:
    found = difference(stored(1e-3), config(setting))
    assert (found.kind, found.fitting) == ("incompatible", 0)
    assert any(one.startswith(line) for one in found.lines)


def test_folds_that_are_named_are_those_that_are_used_where_none_is_named() -> None:
    assert difference(stored(1e-3), config("folds={name: grouped, n_folds: 2, use: [0, 1]}")).kind == "same"
    found = difference(stored(1e-3), config("folds={name: grouped, n_folds: 2, use: [1]}"))
    assert found.kind == "incompatible"


@pytest.mark.parametrize("url", ["sqlite:///{}/new.db", "journal:///{}/new.journal"])
def test_a_storage_that_is_no_file_yet_has_no_study_and_is_not_made(url: str, tmp_path: Path) -> None:
    assert stored_history("small", Places(tmp_path / "mlruns", storage_url=url.format(tmp_path))) is None
    assert not list(tmp_path.iterdir())


def test_a_searched_path_with_another_value_in_the_base_is_another_trial_0() -> None:
    found = difference(stored(1e-3, 2e-3), config(f"space.base.{LR}=0.002"))
    assert (found.kind, found.fitting) == ("migratable", 2)
    assert found.lines == (f"base.{LR}: 0.001 -> 0.002",)


FLOAT = "{type: float, low: 0.4, high: 0.995}"


@pytest.mark.parametrize(
    ("path", "range_", "having", "lacking"),
    [
        ("augmentations.0.p", FLOAT, "augmentations=[{name: left_right_flip}]", "augmentations=[]"),
        ("training.optimiser.betas.0", FLOAT, "training.optimiser={name: adamw}", "training.optimiser={name: sgd}"),
        ("training.swa.start", "{type: int, low: 1, high: 1}", "training.swa={start: 1}", "training.swa=null"),
    ],
    ids=["entry of a list", "another component", "nothing else differs"],
)
def test_trials_do_not_compare_where_one_base_lacks_what_the_other_study_searches(
    path: str, range_: str, having: str, lacking: str
) -> None:
    with_it = config(f"space.base.{having}", f"space.parameters.{path}={range_}")
    without = config(f"space.base.{lacking}", f"space.base.{LR}=0.001")
    there, gone = (StudyHistory(one, (ran(one),)) for one in (with_it, without))
    for before, after, words in ((gone, with_it, "not there -> {"), (there, without, "} -> not there")):
        found = difference(before, after)
        assert (found.kind, found.trials, found.fitting) == ("incompatible", 1, 0)
        assert any(line.startswith(f"parameters.{path}: ") and words in line for line in found.lines)


def test_the_extremes_are_what_a_batchs_time_depends_on() -> None:
    labels = [label for label, _ in extremes(config().space)]
    assert labels == ["training.batch_size = 8", "pipeline.normalise = instance"]


def test_a_batch_is_timed_and_the_network_counted(recordings: Path, tmp_path: Path) -> None:
    prepare(recordings, tmp_path / "store", workers=1)
    store = Store.open(tmp_path / "store", EegMiddleSampling())
    timed = time_batches(config().space.base, store, device="cpu")
    assert timed.training > 0
    assert timed.validation > 0
    network = config().space.base.model.build(config().space.base.pipeline.shape, classes=6)
    assert timed.parameters == sum(weight.numel() for weight in network.parameters())


def test_a_plan_of_prepared_recordings_counts_them_and_what_they_take(recordings: Path, tmp_path: Path) -> None:
    places = Places(tmp_path / "mlruns")
    study = config(f"data.root={recordings}")
    prepare(recordings, places.store(recordings), workers=1)
    plan = plan_study(study, places, progress=unseen)
    store = Store.open(places.store(recordings), EegMiddleSampling())
    assert (plan.samples, plan.counted) == (len(store), "in the prepared recordings")
    assert (plan.trials, plan.done, plan.epochs) == (6, 0, 6 * 2 * 2)
    assert [one.label for one in plan.timed] == ["the base", "training.batch_size = 8", "pipeline.normalise = instance"]
    base = plan.timed[0]
    rows = len(store) / 4 * base.batch.training + len(store) / 4 * base.batch.validation  # each row once in two folds
    assert base.trial_s == pytest.approx(2 * rows)
    assert plan.hours[1] <= plan.hours[0] <= plan.hours[2]
    at_a_time = min(2, usable_processors())
    assert plan.hours[0] == pytest.approx(6 * base.trial_s / 3600 / at_a_time)
    assert plan.bytes_on_disk["prepared recordings"] > 0


def test_a_plan_of_recordings_that_are_not_prepared_prepares_nothing(recordings: Path, tmp_path: Path) -> None:
    places = Places(tmp_path / "mlruns")
    study = config(f"data.root={recordings}", "max_epochs=10")
    plan = plan_study(study, places, progress=unseen, budget_s=0)
    assert not places.root.exists()
    assert "not prepared yet" in plan.counted
    assert plan.epochs == 10
    assert [one.label for one in plan.timed] == ["the base"]
    assert plan.untimed == ("training.batch_size = 8", "pipeline.normalise = instance")


def test_a_plan_of_a_study_under_way_is_of_the_trials_that_are_left(recordings: Path, tmp_path: Path) -> None:
    places = Places(tmp_path / "mlruns")
    study = config(f"data.root={recordings}")
    prepare(recordings, places.store(recordings), workers=1)
    storage = open_storage(places.storage)
    open_study(study, contract_of(study, data="d" * 12, folds="f" * 12), storage).add_trials([ran(study)] * 2)
    close_storage(storage)
    plan = plan_study(study, places, progress=unseen, budget_s=0)
    assert plan.difference.kind == "same"
    assert (plan.done, plan.epochs) == (2, 4 * 2 * 2)


def test_a_plan_of_rounds_is_of_them_all(recordings: Path, tmp_path: Path) -> None:
    places = Places(tmp_path / "mlruns")
    study = config(f"data.root={recordings}", "rounds={count: 3, trials: 5}", "max_epochs=18")
    prepare(recordings, places.store(recordings), workers=1)
    plan = plan_study(study, places, progress=unseen, budget_s=0)
    assert (plan.trials, plan.done, plan.epochs) == (15, 0, 3 * 18)


@pytest.mark.parametrize(
    "sampling",
    [SpectrogramSampling(), EegMiddleSampling(), LabelSampling(), MaxVoteSampling(min_votes=3, spacing_s=25)],
    ids=lambda sampling: sampling.name,
)
def test_samples_are_counted_in_the_table_as_the_prepared_recordings_have_them(
    sampling: Sampling, recordings: Path, tmp_path: Path
) -> None:
    prepare(recordings, tmp_path / "store", workers=1)
    exact = len(Store.open(tmp_path / "store", sampling, kinds=("eeg", "spectrogram")))
    assert counted_samples(recordings, sampling) == pytest.approx(exact, rel=0.1)


def test_a_plan_is_of_what_is_left_of_the_budgets_of_epochs_and_hours(recordings: Path, tmp_path: Path) -> None:
    places = Places(tmp_path / "mlruns")
    study = config(f"data.root={recordings}", "max_epochs=11", "max_hours=1", "workers=1")
    prepare(recordings, places.store(recordings), workers=1)
    done = [ran(study) for _ in range(2)]
    for one in done:
        one.intermediate_values = dict.fromkeys(range(4), 0.5)
        one.user_attrs["seconds"] = 1799.999
    storage = open_storage(places.storage)
    open_study(study, contract_of(study, data="d" * 12, folds="f" * 12), storage).add_trials(done)
    close_storage(storage)
    plan = plan_study(study, places, progress=unseen, budget_s=0)
    assert plan.epochs == 3
    assert max(plan.hours) < 1e-6


def test_another_order_of_the_folds_is_another_study() -> None:
    found = difference(stored(1e-3), config("schedule={name: interleaved}", "pruner={name: none}"))
    assert found.kind == "incompatible"
    assert "schedule: sequential -> interleaved" in found.lines


def test_trials_at_a_step_are_known_by_it_whatever_the_arithmetic_of_floats() -> None:
    dropout, without = "model.dropout", config("space.base.model.dropout=0.3")
    stepped = config(
        f"space.parameters.{dropout}={{type: float, low: 0.1, high: 0.4, step: 0.1}}", "space.base.model.dropout=0.3"
    )
    beside = StudyHistory(stepped, (ran(stepped, **{dropout: 0.1 + 2 * 0.1}), ran(stepped, **{dropout: 0.2})))
    assert difference(beside, without).fitting == 1


def test_a_choice_that_is_a_list_is_known_again() -> None:
    path, usual = "training.optimiser.betas", "space.base.training.optimiser.betas=[0.9, 0.999]"
    both = "{type: categorical, choices: {usual: [0.9, 0.999], slow: [0.95, 0.999]}}"
    before = StudyHistory(config(usual), (ran(config(usual)),))
    found = difference(before, config(usual, f"space.parameters.{path}={both}"))
    assert (found.kind, found.fitting) == ("migratable", 1)
    slow = "{type: categorical, choices: {slow: [0.95, 0.999]}}"
    other = config("space.base.training.optimiser.betas=[0.95, 0.999]", f"space.parameters.{path}={slow}")
    assert difference(before, other).fitting == 0


def test_the_epochs_of_seizure_types_are_those_of_the_folds_of_files_and_of_patients(tmp_path: Path) -> None:
    settings = (
        "data={root: synthetic, synthetic: {patients: 12}}",
        "trials=3",
        "space.base.training.epochs=2",
        "folds={name: files, n_folds: 2}",
    )
    study = read_study(EPILEPSY, settings)
    plan = plan_study(study, Places(tmp_path / "mlruns"), progress=unseen, budget_s=0)
    assert plan.epochs == 3 * 2 * 2 * 2
    at_a_time = min(study.workers, usable_processors())
    assert plan.hours[0] == pytest.approx(3 * plan.timed[0].trial_s / 3600 / at_a_time)
