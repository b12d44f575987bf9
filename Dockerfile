# One image for every role: a server on one machine, and the head and workers of a Ray cluster.
#   docker build -t echo-serve .
#   docker run -e OPENAI_API_KEY=... -e ELEVEN_LABS_API_KEY=... -p 4000:4000 echo-serve
ARG RAY_VERSION=2.60.0
ARG PYTHON_VERSION=py311
# `-cpu`, or `-cu128` for nodes with NVIDIA GPUs.
ARG DEVICE=cpu
ARG BASE_IMAGE=rayproject/ray:${RAY_VERSION}-${PYTHON_VERSION}-${DEVICE}
FROM ${BASE_IMAGE}

# KubeRay's readiness probe of a worker runs wget.
USER root
RUN apt-get update \
    && apt-get install -y --no-install-recommends wget \
    && rm -rf /var/lib/apt/lists/*
RUN mkdir -p /srv/echo /models && chown ray /srv/echo /models
USER ray
WORKDIR /srv/echo

# The lock pins what Python installs, Ray included, to what was tested.
COPY --chown=ray requirements.lock ./
RUN pip install --no-cache-dir -r requirements.lock

COPY --chown=ray pyproject.toml README.md LICENSE ./
COPY --chown=ray serve_app serve_app
COPY --chown=ray deployments deployments
RUN pip install --no-cache-dir --no-deps .

# The packaged models, so that a container starts without the network.
ENV ECHO_CACHE_DIR=/models/echo-serve HF_HOME=/models/huggingface
RUN echo-serve fetch
COPY --chown=ray configs configs

EXPOSE 4000
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s \
    CMD wget -qO- http://127.0.0.1:4000/healthz || exit 1
# On one machine; KubeRay runs `ray start` instead. With --config configs/serve.gpu.yaml and
# --gpus all it is the production configuration, on port 8000.
CMD ["echo-serve", "run", "--config", "configs/serve.yaml"]
