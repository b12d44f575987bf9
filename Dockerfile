# One image for every role: a server on one machine, and the head and workers of a Ray cluster. It
# needs no rights and writes to /tmp and /dev/shm only, so it may run read-only: see compose.yaml.
#   docker build -t echo-serve .
#   docker run --stop-timeout 40 -e OPENAI_API_KEY=... -e ELEVEN_LABS_API_KEY=... -p 4000:4000 echo-serve
# For nodes with NVIDIA GPUs: --build-arg DEVICE=cuda, and `docker run --gpus all`.
ARG PYTHON_VERSION=3.11
ARG DEBIAN_VERSION=bookworm
ARG BUILDER_IMAGE="python:${PYTHON_VERSION}-${DEBIAN_VERSION}"
ARG RUNNER_IMAGE="python:${PYTHON_VERSION}-slim-${DEBIAN_VERSION}"

FROM ${BUILDER_IMAGE} AS builder
# The lock pins what was tested; another Ray is for trying it out.
ARG RAY_VERSION=2.60.0
# `cpu` or `cuda`. The package index has PyTorch with CUDA, which is 5 GB larger.
ARG DEVICE=cpu
ARG TORCH_CPU_INDEX=https://download.pytorch.org/whl/cpu
WORKDIR /srv/echo
RUN python -m venv /opt/echo
ENV PATH=/opt/echo/bin:$PATH
COPY requirements.lock requirements-build.lock requirements-cuda.lock ./
# Every file needs a hash of the lock, wherever it comes from.
RUN pip install --no-cache-dir --require-hashes --no-deps -r requirements-build.lock \
    && if [ "$DEVICE" = cpu ]; then export PIP_EXTRA_INDEX_URL="$TORCH_CPU_INDEX"; fi \
    && pip install --no-cache-dir --require-hashes --no-deps --no-build-isolation -r requirements.lock
# PyTorch without `+cpu` in its version wants CUDA's libraries.
RUN python -c 'from importlib.metadata import version as v; exit("+cpu" not in v("torch"))' \
    || pip install --no-cache-dir --require-hashes --no-deps -r requirements-cuda.lock
# Another Ray comes without hashes.
RUN python -c "from importlib.metadata import version as v; exit(v('ray') != '${RAY_VERSION}')" \
    || pip install --no-cache-dir "ray[serve]==${RAY_VERSION}"
COPY pyproject.toml README.md LICENSE ./
COPY serve_app serve_app
COPY deployments deployments
RUN sed -i "s/ray\[serve\]==[0-9.]*/ray[serve]==${RAY_VERSION}/" pyproject.toml \
    && pip install --no-cache-dir --no-deps --no-build-isolation . \
    && pip check \
    && python -c "import serve_app.app"

# Models that start without the network: the packaged ones, and more from Hugging Face by name,
# such as HF_MODELS="distil-whisper/distil-medium.en". Or mount a volume on /models.
FROM builder AS models
ARG HF_MODELS=""
ENV ECHO_CACHE_DIR=/models/echo-serve HF_HOME=/models/huggingface
RUN mkdir -p /models/huggingface \
    && echo-serve fetch \
    && for model in $HF_MODELS; do hf download "$model" || exit 1; done

FROM ${RUNNER_IMAGE}
# KubeRay's readiness probe of a worker runs wget.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends wget \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 --create-home ray \
    && find / -xdev -type f -perm /6000 -exec chmod a-s {} +
COPY --from=builder /opt/echo /opt/echo
COPY --from=models --chown=1000:1000 /models /models
WORKDIR /srv/echo
COPY configs configs
# What a library keeps in its user's home would otherwise fail in a read-only image.
ENV PATH=/opt/echo/bin:$PATH HOME=/tmp \
    ECHO_CACHE_DIR=/models/echo-serve HF_HOME=/models/huggingface \
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
# Who can reach the container is decided by who publishes its port. While no keys are set, the server
# says so at start; with keys, callers need one here as anywhere.
ENV ECHO_SERVE_HOST=0.0.0.0 ECHO_SERVE_OPEN=1
USER 1000

EXPOSE 4000
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s \
    CMD ["wget", "-qO/dev/null", "http://127.0.0.1:4000/healthz"]
# On one machine; KubeRay runs `ray start` instead. For production without Kubernetes:
# `echo-serve run --config configs/serve.gpu.yaml`.
CMD ["echo-serve", "run", "--config", "configs/serve.yaml"]
