"""What an upload costs beyond the network's forward: a served model under 200 uploads from eight clients.

``hms-search serve`` runs in a process of its own on EfficientNet-B0 with random weights and the input of
``deotte_mel``. Eight clients on loopback send ``POST /api/predict`` with one file of 50 s of synthetic EEG (parquet,
1 MB: one window), each the next as soon as it has the answer, 200 in all. Latency is from before the request is sent
to after its answer is read. An answer that is no 200, or differs from the Predictor's by more than 1e-5, ends the run.

The bare forward at the same batch: of as many windows as clients wait, eight, their images in memory already, in
evaluation mode, with the server's memory format and threads, in this process while the server is idle, half of the
repeats before and half after the uploads. It is timed both as one forward of eight and as eight forwards of one, which
on a CPU is often faster (activations stay in the cache, and no fresh pages are asked for); the shorter median counts.
Receiving, reading and checking files, the input pipeline, JSON and the clients themselves, which share the machine,
are on the server's side only. The ratio is the uploads' 95th percentile over this median.

Memory: the server's resident set a second after as many uploads that are not counted, so that threads and allocators
have what they keep, and again a second after the counted ones. It holds where it has grown by no more than 32 MiB, the
files of four times as many clients: what 200 uploads of 1 MB left behind would be 200 MiB and more.

Expected before measuring, of a quiet machine: ratio 1.5. A window takes some 10 ms to receive, read and transform and
some 50 ms to predict, and requests wait in a line.

Run: ``python benchmarks/serving.py [--uploads N] [--clients N]``
"""

import argparse
import http.client
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import psutil
import pyarrow.parquet as pq
import torch
from measured import at_most

from hms_search.cli.serve import served_model
from hms_search.data.hms import EEG_WINDOW, read_microvolts
from hms_search.data.labels import CLASSES
from hms_search.data.synthetic import write_synthetic
from hms_search.eeg.eeg_pipeline import EegPipeline
from hms_search.host_memory import keep_freed_memory
from hms_search.inference.model_folder import ModelCard, NetworkFile, write_card
from hms_search.inference.predictor import Predictor
from hms_search.models import TimmImage, save_weights
from hms_search.servers import free_port

HOST = "127.0.0.1"
TARGET, TARGET_MIB = 3.0, 32.0
FORWARDS = 5
BOUNDARY = "hms-search-benchmark"
MIB = 2**20


@dataclass(frozen=True)
class Upload:
    """A request as it is sent, and the probabilities that must come back."""

    body: bytes
    expected: tuple[float, ...]


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description="What an upload costs beyond the network's forward.")
    parser.add_argument("--uploads", type=int, default=200)
    parser.add_argument("--clients", type=int, default=8)
    options = parser.parse_args(arguments)
    keep_freed_memory()  # as the server does: half as long again without
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_synthetic(folder / "recordings", n_patients=4, seed=0)
        found = sorted((folder / "recordings" / "train_eegs").glob("*.parquet"))[: options.clients]
        files = [one_window(file, folder / file.name) for file in found]
        predictor = Predictor.open(write_model(folder / "model"), device="cpu")
        windows = [read_microvolts(file) for file in files]
        uploads = [upload(file, predictor) for file in files]
        if np.ptp([one.expected for one in uploads], axis=0).max() < 1e-3:
            raise SystemExit("expected recordings that are told apart, found the same answer for all")
        bare = {at_once: forwards(predictor, windows, at_once=at_once) for at_once in (1, len(windows))}
        with served_model(folder / "model", host=HOST, port=free_port(HOST, 0, "the web app")) as server:
            process = psutil.Process(server.pid)
            load(server.address, uploads, options.clients, options.uploads)
            time.sleep(1)
            before = process.memory_info().rss
            started = time.perf_counter()
            waited = load(server.address, uploads, options.clients, options.uploads)
            lasted = time.perf_counter() - started
            time.sleep(1)
            grown = (process.memory_info().rss - before) / MIB
        for at_once, seconds in bare.items():
            seconds += forwards(predictor, windows, at_once=at_once)
    forward = min(statistics.median(seconds) for seconds in bare.values())
    p95 = float(np.quantile(waited, 0.95))
    print(f"{options.uploads} uploads, {options.clients} clients, {torch.get_num_threads()} threads, seconds")
    for at_once, seconds in bare.items():
        spread = f"({min(seconds):.3f} to {max(seconds):.3f})"
        print(f"bare, {len(windows)} windows, {at_once} at once {statistics.median(seconds):9.3f}  {spread}")
    for name, value in (("median", statistics.median(waited)), ("95 %", p95), ("longest", max(waited))):
        print(f"latency, {name:<19} {value:6.3f}  {value / forward:6.2f} x bare")
    print(f"uploads a second {options.uploads / lasted:.1f}, windows a second bare {len(windows) / forward:.1f}")
    print(f"resident memory {before / MIB:.0f} MiB before, {grown:+.1f} MiB after")
    print(at_most("upload_p95_over_bare_forward", p95 / forward, TARGET, "ratio").line())
    print(at_most("upload_memory_growth", grown, TARGET_MIB, "MiB").line())


def one_window(file: Path, target: Path) -> Path:
    """Write the first 50 s of a recording."""
    pq.write_table(pq.read_table(file).slice(0, EEG_WINDOW), target)
    return target


def write_model(folder: Path) -> Path:
    """Write a model of one EfficientNet-B0 with random weights, which looks at EEG as ``deotte_mel`` does."""
    (folder / "networks").mkdir(parents=True)
    settings = {"gap_fill": "mean", "representation": {"name": "chain_mel"}, "normalise": {"name": "none"}}
    pipeline = EegPipeline.model_validate({**settings, "resize": [512, 256]}).fit([])
    network = NetworkFile(
        file="networks/seed0-fold0.safetensors",
        model=TimmImage(backbone="efficientnet_b0", weights="none"),
        pipeline=pipeline,
        fold=0,
        seed=0,
    )
    torch.manual_seed(0)
    module = network.model.build(pipeline.config.shape)
    with torch.no_grad():
        module.get_classifier().weight.mul_(100)  # random networks say nearly the same of every recording
    save_weights(module, folder / network.file)
    prior = (1 / len(CLASSES),) * len(CLASSES)
    origin = {"recordings": "synthetic"}
    write_card(folder, ModelCard(name="b0", kind="model", prior=prior, scores={}, origin=origin, networks=(network,)))
    return folder


def upload(file: Path, predictor: Predictor) -> Upload:
    """Return the request that sends a file, and what the Predictor says of it."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="{file.name}"\r\n\r\n'
    body = head.encode() + file.read_bytes() + f"\r\n--{BOUNDARY}--\r\n".encode()
    expected = predictor.predict([read_microvolts(file)]).probabilities[0]
    return Upload(body, tuple(expected.tolist()))


def forwards(predictor: Predictor, windows: Sequence[np.ndarray], *, at_once: int) -> list[float]:
    """Return the seconds of some forwards of all windows, so many at once, their images in memory."""
    ((network, pipeline),) = predictor.networks
    seconds = []
    with torch.inference_mode():
        images = pipeline.inputs({"eeg": torch.from_numpy(np.stack(windows))}).split(at_once)
        network(images[0])  # the first one also pays for choosing kernels
        for _ in range(FORWARDS):
            started = time.perf_counter()
            for image in images:
                network(image)
            seconds.append(time.perf_counter() - started)
    return seconds


def load(address: str, uploads: Sequence[Upload], clients: int, count: int) -> list[float]:
    """Return how long each of ``count`` uploads took, ``clients`` at a time."""
    shares = [[uploads[number % len(uploads)] for number in range(client, count, clients)] for client in range(clients)]
    with ThreadPoolExecutor(clients) as pool:
        return [
            seconds for of_a_client in pool.map(lambda share: send(address, share), shares) for seconds in of_a_client
        ]


def send(address: str, uploads: Sequence[Upload]) -> list[float]:
    """Return how long each of one client's uploads took, one after another over one connection."""
    waited = []
    connection = http.client.HTTPConnection(urlsplit(address).netloc)
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    for one in uploads:
        started = time.perf_counter()
        connection.request("POST", "/api/predict", one.body, headers)
        response = connection.getresponse()
        content = response.read()
        waited.append(time.perf_counter() - started)
        answer = json.loads(content)["recordings"][0] if response.status == http.client.OK else {"error": content}
        if answer["error"] is not None:
            raise SystemExit(f"expected an answer, found {response.status}: {answer['error']!r}")
        if not np.allclose(list(answer["probabilities"].values()), one.expected, rtol=0, atol=1e-5):
            raise SystemExit(f"expected {one.expected}, found {answer['probabilities']}")
    connection.close()
    return waited


if __name__ == "__main__":
    main(sys.argv[1:])
