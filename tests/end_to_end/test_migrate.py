"""A study goes on in a changed space, with the trials that lie in it."""

from command_line import CommandLine

RUN = ("run", "small.yaml", "--data", "recordings")


def test_a_changed_study_is_refused_with_the_command_that_takes_its_trials_over(hms_search: CommandLine) -> None:
    hms_search(*RUN, "--trials", "2")
    changed = (*RUN, "--trials", "1", "--set", "space.parameters.training.optimiser.lr.high=5.0e-2")
    refused = hms_search(*changed, code=2)
    takeover = "--set name=small_2 --migrate small"
    assert f"{takeover} takes over the 2 of its 2 trials that lie in it" in refused
    output = hms_search(*changed, "--set", "name=small_2", "--migrate", "small")
    assert "2 trials of study small are taken over" in output
    assert "study small_2: 1 complete" in output
    shown = hms_search("show", "small_2")
    assert "(small 0)" in shown
    assert "baseline: trial 0" in shown
