"""A study of several aims, looked at by its first alone: for all that shows or weighs a single value."""

import optuna
from optuna.trial import create_trial


def first_aim(study: optuna.Study) -> optuna.Study:
    """Return a study as one of its first aim, in memory, with the same trials; itself where it has no other."""
    if len(study.directions) == 1:
        return study
    made = optuna.create_study(
        study_name=study.study_name, direction=study.directions[0], storage=optuna.storages.InMemoryStorage()
    )
    for key, value in study.user_attrs.items():
        made.set_user_attr(key, value)
    for trial in study.get_trials(deepcopy=False):
        copied = create_trial(
            state=trial.state,
            value=trial.values[0] if trial.values else None,
            params=trial.params,
            distributions=trial.distributions,
            user_attrs=trial.user_attrs,
            intermediate_values=trial.intermediate_values,
        )
        copied.datetime_start, copied.datetime_complete = trial.datetime_start, trial.datetime_complete
        made.add_trial(copied)
    return made
