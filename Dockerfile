# The serving image: the locked serving install, the server and the default model; nothing else.
# To pin the base image, build with --build-arg PYTHON_IMAGE=docker.io/library/python@sha256:...
# For NVIDIA GPUs, build with --build-arg LOCK=serve-cuda; CUDA and cuDNN come with it.
# For traces of requests, build with --build-arg ADD=serve-otel.
ARG PYTHON_IMAGE=docker.io/library/python:3.11-slim

FROM ${PYTHON_IMAGE} AS builder
ARG LOCK=serve
ARG ADD=
COPY requirements /tmp/requirements
RUN python -m venv /opt/venv \
 && for lock in ${LOCK} ${ADD}; do \
        /opt/venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check \
            --require-hashes --no-deps --only-binary :all: -r "/tmp/requirements/${lock}.txt" \
        || exit 1; \
    done \
 && /opt/venv/bin/python -m pip uninstall --yes setuptools pip
WORKDIR /opt/cloze
COPY scripts/healthcheck.py ./
COPY server ./server
COPY models/*.py ./models/
# The root file system is read-only at run time: bytecode is written now.
RUN python -m compileall -q .
# SageMaker starts a container with this word.
RUN printf '#!/bin/sh\nexec python -m server\n' > /opt/venv/bin/serve && chmod +x /opt/venv/bin/serve

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="Cloze" \
      org.opencontainers.image.description="A BERT inference server" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin cloze
COPY --from=builder /opt/venv /opt/venv
COPY --from=builder /opt/cloze /opt/cloze
# Holds the default model; mount a folder of your own model folders over it.
COPY models/cloze-small-en /models/cloze-small-en
WORKDIR /opt/cloze
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    CLOZE_HOST=0.0.0.0 \
    CLOZE_PORT=8080 \
    CLOZE_MODELS=/models
USER 10001:10001
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=4s --start-period=20s --retries=3 \
    CMD ["python", "healthcheck.py"]
CMD ["python", "-m", "server"]
