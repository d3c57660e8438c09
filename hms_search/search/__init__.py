"""Studies: spaces, samplers, pruners, the coordinator and its workers. The only home of Optuna."""

import optuna

optuna.logging.set_verbosity(optuna.logging.WARNING)  # what a study does is told by our own events
