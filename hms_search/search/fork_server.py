"""What the process is made of that workers are forked from: it imports this module, and waits."""

import atexit
import os

from hms_search.host_memory import collect_rarely
from hms_search.host_processors import wait_briefly

collect_rarely()  # before the imports that it is meant for
wait_briefly()  # where a program called run_study; the command line has said so

import torch  # noqa: E402

torch.set_num_threads(1)  # a process that has used GNU OpenMP's threads is not to be forked: its children wait for them
atexit.register(os._exit, 0)  # it has nothing to put in order

import hms_search.search.workers  # noqa: E402, F401
