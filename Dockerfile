# A GPU worker of the pool gpu-pool, for machines that run containers (with NVIDIA's container toolkit):
#   docker build -t sofgan-worker .
#   docker run --gpus all --network host --pid host --shm-size 8g -v "$PWD":"$PWD" -w "$PWD" -e PYTHONPATH="$PWD" \
#       -e PREFECT_API_URL -e MLFLOW_TRACKING_URI sofgan-worker
# The project's folder (code, DVC's cache, data) is mounted where the deployments were made; the image holds what it
# needs to run. `--network host`, as `python -m pipelines up` listens on the loopback address alone; `--pid host`, as
# locks in the folder name processes. pipelines/containers.yaml runs each flow in a container of its own instead.
FROM python:3.11-slim-bookworm
RUN apt-get update && apt-get install -y --no-install-recommends \
        git libegl1 libgl1 libgl1-mesa-dri libglib2.0-0 && rm -rf /var/lib/apt/lists/*
# The folder is its user's; without this, git would not read it for root.
RUN git config --system --add safe.directory '*'
# Dependencies alone: a change of the code leaves the image as it is.
COPY pyproject.toml constraints.txt /build/
RUN touch /build/README.md && pip install --no-cache-dir --constraint /build/constraints.txt '/build[dask]' \
    && pip uninstall -y sofgan-pipeline && rm -r /build
ENV PYTHONUNBUFFERED=1 DO_NOT_TRACK=1
CMD ["prefect", "worker", "start", "--pool", "gpu-pool"]
