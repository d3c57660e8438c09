"""Uploads that mean harm: each is refused in one line, on the page and at the endpoint; the others are answered."""

import gc
import io
import os
import pickle
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import edfio
import gradio as gr
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_models import write_seizure_model
from starlette.testclient import TestClient
from web_files import microvolts, write_parquet

from hms_search.data.hms import ELECTRODES
from hms_search.inference.model_folder import open_model
from hms_search.inference.predictor import Predictor
from hms_search.web.answers import Answer, Respondent
from hms_search.web.app import build_app
from hms_search.web.desk import Desk

HERE = "http://127.0.0.1"
GOOD = "good.parquet"
N_SIGNALS = len(ELECTRODES)
PATIENT = slice(8, 88)
RECORDS, DURATION, SIGNALS, HEADER = slice(236, 244), slice(244, 252), slice(252, 256), slice(184, 192)
LABEL, LOW, DIGITAL, SAMPLES = (
    slice(256 + N_SIGNALS * before, 256 + N_SIGNALS * before + width)
    for before, width in ((0, 16), (104, 8), (120, 16 * N_SIGNALS), (216, 8))
)
"""Fields of an EDF header; of the signals' the first one's, and the smallest and largest digital value of all."""
LIES = {
    "records": (RECORDS, [b"-1", b"0", b"99999999", b"1e9", b"\xb2\xb2"]),
    "duration": (DURATION, [b"-1", b"0", b"1e308", b"nan", b"inf", b"1e-300", b"\xff"]),
    "signals": (SIGNALS, [b"-1", b"0", b"9999", b"\xd9\xa3"]),
    "header": (HEADER, [b"0", b"-256", b"99999999"]),
    "samples": (SAMPLES, [b"-200", b"0", b"99999999", b"x"]),
    "low": (LOW, [b"nan", b"inf", b"-inf", b"1e300"]),
    "digital": (DIGITAL, [b""]),
    "label": (LABEL, [b"\xff\x00\x1b", b"<img src=x>"]),
}


class Bomb:
    """What writes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.write_text, (self.target, "unpickled")


@dataclass(frozen=True)
class Served:
    """The whole app of a model, its page's desk, and the folder beside which it may write nothing."""

    client: TestClient
    desk: Desk
    temporary: Path

    def endpoint(self, files: list[tuple[str, bytes]]) -> list[dict[str, object]]:
        response = self.client.post("/api/predict", files=[("files", file) for file in files])
        answers: list[dict[str, object]] = response.json()["recordings"]
        return answers

    def uploaded(self, files: list[tuple[str, bytes]]) -> list[str]:
        """Return where the page keeps files that were uploaded to it."""
        response = self.client.post("/gradio_api/upload", files=[("files", file) for file in files])
        assert response.status_code == 200, response.text
        paths: list[str] = response.json()
        return paths

    def written(self) -> list[str]:
        """Return all files of the folder, and of those around it all that should not be there."""
        return sorted(str(path.relative_to(self.temporary.parent)) for path in self.temporary.parent.rglob("*"))


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Path], Served]]:
    """Returns the app of a model; its working directory, its temporary one and Gradio's are in a folder of its own."""
    with pytest.MonkeyPatch.context() as patch:

        def start(model: Path) -> Served:
            root = tmp_path_factory.mktemp("hostile")
            temporary, work = root / "temporary", root / "work" / "below"
            for folder in (temporary, work):
                folder.mkdir(parents=True)
            patch.chdir(work)
            patch.setattr(tempfile, "tempdir", str(temporary))
            patch.setenv("GRADIO_TEMP_DIR", str(temporary))
            with warnings.catch_warnings(action="ignore", category=ResourceWarning):
                app = build_app(open_model(model), device="cpu")
                gc.collect()  # event loops that Gradio made as it was built, and left open
            return Served(
                TestClient(app, base_url=HERE), Desk(Respondent(Predictor.open(model, device="cpu"))), temporary
            )

        yield start


@pytest.fixture(scope="module")
def eeg(serve: Callable[[Path], Served], models: dict[str, Path]) -> Served:
    return serve(models["eeg"])


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_parquet(tmp_path_factory.mktemp("good") / GOOD, "eeg", microvolts(50)).read_bytes()


def check_refused(served: Served, bad: list[tuple[str, bytes]], good: bytes) -> list[str]:
    """Check that files are refused at both doors, that a good one among them is not, and return the reasons."""
    before = served.written()
    answers = served.endpoint([*bad, (GOOD, good)])
    reasons = [str(answer["error"]) for answer in answers[:-1]]
    assert [name for (name, _), answer in zip(bad, answers, strict=False) if answer["error"] is None] == []
    assert [reason for reason in reasons if "\n" in reason or not reason.isprintable()] == []
    assert answers[-1]["error"] is None
    assert served.written() == before

    outcomes, table, *_ = served.desk.predict(served.uploaded([*bad, (GOOD, good)]))
    assert [outcome.name for outcome in outcomes[:-1] if isinstance(outcome, Answer)] == []
    assert isinstance(outcomes[-1], Answer)
    assert "<img" not in table
    assert [name for name in served.written() if Path(name).suffix] == [name for name in before if Path(name).suffix]
    return reasons


def edf(suffix: str) -> bytearray:
    signal, whole = (edfio.EdfSignal, edfio.Edf) if suffix == ".edf" else (edfio.BdfSignal, edfio.Bdf)
    columns = np.clip(microvolts(10).T.astype(float), -800, 800)
    named = zip(ELECTRODES, columns, strict=True)
    signals = [
        signal(column, 200, label=name, physical_dimension="uV", physical_range=(-800, 800)) for name, column in named
    ]
    content = io.BytesIO()
    whole(signals).write(content)
    return bytearray(content.getvalue())


@pytest.mark.parametrize("suffix", [".edf", ".bdf"])
def test_a_header_that_lies_is_refused(eeg: Served, good: bytes, suffix: str) -> None:
    whole = edf(suffix)
    whole[PATIENT] = b"<img src=x>".ljust(80)
    assert eeg.endpoint([("whole", bytes(whole))])[0]["error"] is None
    bad = []
    for field, (place, lies) in LIES.items():
        for number, lie in enumerate(lies):
            content = whole.copy()
            content[place] = lie.ljust(place.stop - place.start)
            bad.append((f"{field}{number}{suffix}", bytes(content)))
    reasons = check_refused(eeg, bad, good)
    assert any("missing" in reason and "Fp1" in reason for reason in reasons)


def test_arrays_that_are_pickled_or_lie_are_refused(eeg: Served, good: bytes, tmp_path: Path) -> None:
    check_refused(eeg, list(arrays(tmp_path / "unpickled")), good)
    assert not (tmp_path / "unpickled").exists()


def test_seizures_that_are_pickled_or_lie_are_refused(
    serve: Callable[[Path], Served], good: bytes, tmp_path: Path
) -> None:
    served = serve(write_seizure_model(tmp_path / "model"))
    check_refused(served, list(arrays(tmp_path / "unpickled")), good)
    assert not (tmp_path / "unpickled").exists()


def arrays(unpickled: Path) -> Iterator[tuple[str, bytes]]:
    pickled = npy(np.array([Bomb(unpickled)], dtype=object))
    yield "object.npy", pickled
    yield "bare.npy", pickle.dumps(Bomb(unpickled))
    yield "object.npz", zipped(pickled)
    yield "two.npz", zipped(npy(np.zeros((2, 20, 24))), npy(np.zeros((2, 20, 24))))
    yield "bomb.npz", zipped(header("(100000, 20, 24)") + bytes(10**8))
    yield "none.npz", zipped()
    yield "cut.npz", zipped(npy(np.zeros((9, 20, 24))))[:-30]
    for number, shape in enumerate(("(9999999999, 20, 24)", "(9999999999, 20)", "(-1, 20, 24)", "(2, -20, -24)", "()")):
        yield f"shape{number}.npy", header(shape) + bytes(960)
        yield f"shape{number}.npz", zipped(header(shape) + bytes(960))
    for number, kind in enumerate(("'|O'", "'<U9'", "'<M8[s]'", "[('a', '<f4')]", "'<c8'", "'|V4'", "'nonsense'")):
        yield f"type{number}.npy", header("(1, 20, 24)", kind) + bytes(960 * 9)


def npy(array: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, array, allow_pickle=True)
    return content.getvalue()


def header(shape: str, kind: str = "'<f4'") -> bytes:
    text = f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}}}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def zipped(*members: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, member in enumerate(members):
            archive.writestr(f"../../arr_{number}.npy", member)
    return content.getvalue()


def test_tables_that_lie_or_are_nested_are_refused(eeg: Served, good: bytes) -> None:
    rows = np.zeros((50 * 200, 1), dtype=np.float32)
    nested = {name: pa.array(rows.tolist(), pa.list_(pa.float32())) for name in ELECTRODES}
    structs = {name: pa.array([{"a": 1.0}] * 3) for name in ELECTRODES}
    text = {name: pa.array(["1.0"] * 3) for name in ELECTRODES}
    many = {f"Fp{number}": pa.array([1.0]) for number in range(5000)}
    bad = [
        (f"{number}.parquet", parquet(columns))
        for number, columns in enumerate((nested, structs, text, many, {"Fp1": []}))
    ]
    bad += [("rows.parquet", lying_rows(2_000_000, 10_000)), ("fewer.parquet", lying_rows(10_000, 700_000))]
    bad += [("empty.parquet", b""), ("magic.parquet", b"PAR1PAR1"), ("cut.parquet", good[:-9])]
    check_refused(eeg, bad, good)


def parquet(columns: dict[str, object]) -> bytes:
    content = io.BytesIO()
    pq.write_table(pa.table(columns), content)
    return content.getvalue()


def lying_rows(rows: int, claimed: int) -> bytes:
    """Return a small file of many equal rows, whose footer claims another number of them, but for its columns."""
    content = io.BytesIO()
    zeros = pa.repeat(pa.scalar(0, pa.float32()), rows)
    pq.write_table(pa.table(dict.fromkeys(ELECTRODES, zeros)), content, row_group_size=rows, compression="zstd")
    file = content.getvalue()
    length = int.from_bytes(file[-8:-4], "little")
    footer, true, lie = file[-8 - length : -8], varint(2 * rows), varint(2 * claimed)
    width = max(len(true), len(lie))
    assert len(true) == width, "a shorter number cannot be lengthened in place"
    # the table's own count is the first in the footer, the row group's the last
    lie = lie[:-1] + bytes([lie[-1] | 0x80] + [0x80] * (width - len(lie) - 1) + [0]) if len(lie) < width else lie
    first, last = footer.index(true), footer.rindex(true)
    footer = footer[:first] + lie + footer[first + width : last] + lie + footer[last + width :]
    return file[: -8 - length] + footer + file[-8:]


def varint(number: int) -> bytes:
    digits = []
    while number:
        digits.append(number & 0x7F | (0x80 if number > 0x7F else 0))
        number >>= 7
    return bytes(digits)


DRIVE = "C:\\escaped.parquet"
NAMES = [
    "../../../escaped.parquet",
    "/escaped.parquet",
    "..\\..\\escaped.parquet",
    DRIVE,
    "escaped.parquet/",
    "..",
    "<img src=x onerror=alert(1)>.parquet",
    "a\x1bb.parquet",
    "a\0b.parquet",
    "x" * 300 + ".parquet",
]
REFUSED = [name for name in NAMES if name != DRIVE]


def test_names_that_are_paths_or_markup_are_refused_and_lead_nowhere(eeg: Served, good: bytes) -> None:
    before = eeg.written()
    body = form([*((name, good) for name in NAMES), (GOOD, good), (GOOD, good)])
    answers = eeg.client.post("/api/predict", content=body, headers=FORM).json()["recordings"]
    assert len(answers) == len(NAMES) + 2
    assert answers.pop(NAMES.index(DRIVE))["recording"] == "escaped.parquet", "Starlette takes the path off itself"
    refused = {name: str(answer["error"]) for name, answer in zip(REFUSED, answers, strict=False)}
    assert {name for name, reason in refused.items() if "rename the file" not in reason or "\n" in reason} == set()
    assert [answer["error"] for answer in answers[-2:]] == [None, None], "two files may be called alike"
    assert not any(set("/\\") & set(str(answer["recording"])) for answer in answers)

    assert eeg.client.post("/gradio_api/upload", content=form([("..", good)]), headers=FORM).status_code == 400
    sent = form([(name, good) for name in NAMES if name != ".."])
    paths = eeg.client.post("/gradio_api/upload", content=sent, headers=FORM).json()
    assert [path for path in paths if not Path(path).resolve().is_relative_to(eeg.temporary)] == []
    _, table, *_ = eeg.desk.predict(paths)
    assert "<img" not in table
    assert [name for name in eeg.written() if Path(name).suffix] == [name for name in before if Path(name).suffix]


FORM = {"Content-Type": "multipart/form-data; boundary=x"}


def form(files: list[tuple[str, bytes]]) -> bytes:
    """Return a form with files under names as they are, which a polite client would escape."""
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="'
    parts = [head + name.encode() + b'"\r\n\r\n' + content + b"\r\n" for name, content in files]
    return b"".join(parts) + b"--x--\r\n"


def test_a_name_of_ten_thousand_characters_is_refused_before_anything_is_kept(eeg: Served, good: bytes) -> None:
    before = eeg.written()
    for path in ("/api/predict", "/gradio_api/upload"):
        response = eeg.client.post(path, files=[("files", ("x" * 10_000 + ".parquet", good))])
        assert response.status_code in (400, 413)
    assert eeg.written() == before


@pytest.mark.parametrize("path", ["/api/predict", "/gradio_api/upload", "/gradio_api/queue/join"])
def test_a_body_larger_than_allowed_is_refused_and_nothing_of_it_stays(eeg: Served, path: str) -> None:
    before = eeg.written()
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.npy"\r\n\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=x"}

    def endless() -> Iterator[bytes]:
        yield head
        yield from [bytes(2**24)] * 33  # 528 MiB, of which 513 may be

    claimed = eeg.client.post(path, content=head, headers={**headers, "Content-Length": str(2**31)})
    assert claimed.status_code == 413
    assert eeg.client.post(path, content=endless(), headers=headers).status_code in (400, 413)
    assert eeg.written() == before


def test_events_of_the_page_may_name_only_what_was_uploaded_to_it(eeg: Served, good: bytes, tmp_path: Path) -> None:
    secret = tmp_path / "secret.parquet"
    secret.write_bytes(good)
    (uploaded,) = eeg.uploaded([(GOOD, good)])

    def status(*paths: object) -> int:
        named = [{"path": path, "meta": {"_type": "gradio.FileData"}} for path in paths]
        event = {"data": [named], "fn_index": 0, "session_hash": "abc"}
        return eeg.client.post("/gradio_api/queue/join", json=event).status_code

    out = f"{eeg.temporary}/../../secret.parquet"
    for path in (
        str(secret),
        out,
        "http://127.0.0.1:9/secret.parquet",
        "secret.parquet",
        "",
        "a\0b",
        None,
        1,
        [uploaded],
    ):
        assert status(uploaded, path) == 400, path
    assert eeg.client.post("/gradio_api/queue/join", content=b"[" * 100_000).status_code == 400
    assert eeg.client.post("/gradio_api/queue/join", content=bytes(2**21)).status_code == 413
    assert status(uploaded) == 200
    assert secret.read_bytes() == good


@pytest.mark.parametrize("path", ["/gradio_api/process_recording", "/gradio_api/vibe-edit", "/gradio_api/call/predict"])
def test_what_else_gradio_offers_is_not_there(eeg: Served, path: str) -> None:
    assert eeg.client.post(path, json={}).status_code == 404


def test_an_error_of_the_page_is_one_line_without_a_folder(eeg: Served) -> None:
    with pytest.raises(gr.Error, match="1 to 32 files") as raised:
        eeg.desk.predict([])
    assert os.sep not in str(raised.value)
