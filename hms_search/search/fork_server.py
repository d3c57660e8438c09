"""What the process is made of that workers are forked from: it imports this module, and waits."""

import atexit
import os

import torch

from hms_search.host_memory import collect_rarely

collect_rarely()  # before the imports that it is meant for
torch.set_num_threads(1)  # a process that has used GNU OpenMP's threads is not to be forked: its children wait for them
atexit.register(os._exit, 0)  # it has nothing to put in order

import hms_search.search.workers  # noqa: E402, F401
