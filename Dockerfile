# A GPU worker of the pool gpu-pool, for machines that run containers:
#   docker build -t sofgan-worker .
#   docker run --gpus all --network host -v "$PWD":"$PWD" -w "$PWD" -e PYTHONPATH="$PWD" \
#       -e PREFECT_API_URL -e MLFLOW_TRACKING_URI sofgan-worker
# The project's folder (code, DVC's cache, data) is mounted where the deployments were made; the image holds what it
# needs to run. `--network host`, as `python -m pipelines up` listens on the loopback address alone.
FROM python:3.11-slim
RUN apt-get update && apt-get install -y --no-install-recommends \
        git libegl1 libgl1 libgl1-mesa-dri libglib2.0-0 && rm -rf /var/lib/apt/lists/*
COPY pyproject.toml constraints.txt README.md LICENSE /build/
COPY sofgan /build/sofgan
COPY stages /build/stages
COPY pipelines /build/pipelines
RUN pip install --no-cache-dir --constraint /build/constraints.txt /build && pip uninstall -y sofgan-pipeline && rm -r /build
ENV PYTHONUNBUFFERED=1
CMD ["prefect", "worker", "start", "--pool", "gpu-pool"]
