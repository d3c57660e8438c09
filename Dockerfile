# One image for all services but the database. On a machine with NVIDIA GPUs: docker build --build-arg DEVICE=cuda .
FROM python:3.11.14-slim-bookworm

ARG DEVICE=cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1

WORKDIR /work
COPY docker/constraints.txt /tmp/constraints.txt
# First, because it is gigabytes and changes least. PyPI's wheels bring CUDA; those without it have an index of their
# own, which copies other packages now and then and lacks versions that are pinned here: torch's needs come with ours.
# torchvision must come from the same place as torch: its compiled library needs the torch that it was built for.
RUN case "$DEVICE" in \
        cpu) from="--no-deps --index-url https://download.pytorch.org/whl/cpu" ;; \
        cuda) from="" ;; \
        *) echo "DEVICE is cpu or cuda, found $DEVICE" >&2; exit 1 ;; \
    esac && pip install $from --constraint /tmp/constraints.txt torch torchvision

COPY pyproject.toml README.md LICENSE ./
COPY hms_search hms_search
RUN pip install --constraint /tmp/constraints.txt ".[app,edf,postgres,server]" && rm -r build hms_search.egg-info

COPY studies studies
COPY search_spaces search_spaces
# A new volume takes its owner from the folder that it is put over.
RUN useradd --uid 1000 --create-home hms && mkdir mlruns /artifacts /data && chown hms:hms mlruns /artifacts
USER hms
