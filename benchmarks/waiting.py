"""How threads wait for each other: seconds per training step, alone on a machine and beside another training.

EfficientNet-B0 on images of 64 x 128 trains in processes of two threads each, alone and two at a time; with GNU
OpenMP's own setting (the reference, in the same run), with what hms-search sets, and with threads that sleep at once.

A first trial of a few seconds each, without the platform: alone no slower than the reference; beside another 17 times
as fast, and not quite as fast as threads that sleep at once, which alone take twice as long.

Run: ``python benchmarks/waiting.py [--seconds S] [--repeats N]``
"""

import argparse
import os
import statistics
import subprocess
import sys
import time

from measured import at_most

from hms_search.host_processors import wait_briefly

N_THREADS = 2
WAYS = ("GNU's own", "hms-search", "asleep at once")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=15.0, help="how long each training is timed at least")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--train", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train:
        print(seconds_per_step(options.seconds))
        return
    found: dict[tuple[str, int], list[float]] = {(way, beside): [] for way in WAYS for beside in (1, 2)}
    for _ in range(options.repeats):
        for way, beside in found:
            found[way, beside].append(trained(way, beside, options.seconds))
    medians = {of: statistics.median(seconds) for of, seconds in found.items()}
    print(f"efficientnet_b0, 64 x 128, batch 16, {N_THREADS} threads each, {options.repeats} repeats, medians")
    print("seconds per step   alone   beside another")
    for way in WAYS:
        print(f"{way:16} {medians[way, 1]:7.2f} {medians[way, 2]:16.2f}")
    alone, beside = (medians["hms-search", n] / medians["GNU's own", n] for n in (1, 2))
    print(at_most("step_alone_over_gnus_waiting", alone, 1.05, "ratio").line())
    print(at_most("step_beside_another_over_gnus_waiting", beside, 0.5, "ratio").line())


def trained(way: str, beside: int, seconds: float) -> float:
    """Return the mean seconds per step of some trainings beside each other."""
    command = [sys.executable, __file__, "--train", "--seconds", str(seconds)]
    processes = [
        subprocess.Popen(command, env=environment(way), stdout=subprocess.PIPE, text=True) for _ in range(beside)
    ]
    return statistics.mean(float(process.communicate()[0]) for process in processes)


def environment(way: str) -> dict[str, str]:
    """Return the environment in which threads wait in one of the ways."""
    waiting = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}
    own = {name: value for name, value in os.environ.items() if name not in waiting}
    if way == "hms-search":
        wait_briefly(own)
    elif way == "asleep at once":
        own["OMP_WAIT_POLICY"] = "PASSIVE"
    return own


def seconds_per_step(seconds: float) -> float:
    """Train in this process; return the mean time of a step after the first three."""
    import timm
    import torch

    torch.set_num_threads(N_THREADS)
    torch.manual_seed(0)
    model = timm.create_model("efficientnet_b0", num_classes=6).to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(model.parameters())
    images = torch.randn(16, 3, 64, 128).to(memory_format=torch.channels_last)
    labels = torch.randint(6, (16,))
    done, began = -3, time.perf_counter()
    while done <= 0 or time.perf_counter() - began < seconds:
        if done == 0:
            began = time.perf_counter()
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(images), labels).backward()
        optimiser.step()
        done += 1
    return (time.perf_counter() - began) / done


if __name__ == "__main__":
    main()
