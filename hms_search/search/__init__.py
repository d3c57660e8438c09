"""Studies: spaces, samplers, pruners, the coordinator and its workers. The only home of Optuna."""
