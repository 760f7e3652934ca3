# The image of every Stanchion process: workers of any role, `stanchion bootstrap`, the CLI.
#
#   docker build -f deploy/worker.Dockerfile -t stanchion-worker .
#
# BASE is any image of a Python 3.11 or newer with venv; pin it by digest where it matters.
# EXTRAS are the optional dependencies that go in: `model` for model vendors, `tools` for the gateway and its tools.

ARG BASE=python:3.11-slim

FROM ${BASE} AS build
ARG EXTRAS="model tools"
# pip's own variables, for a build behind a mirror; whoever builds says so, and nothing of it stays in the image.
ARG PIP_INDEX_URL
ARG PIP_CERT
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1

# Build tools stay in an environment of their own, which the image does not get.
WORKDIR /app
COPY requirements ./requirements
RUN python3 -m venv /opt/build \
    && python3 -m venv /opt/stanchion \
    && /opt/build/bin/pip install --quiet --require-hashes -r requirements/setup.txt \
    && set -- -r requirements/core.txt \
    && for extra in ${EXTRAS}; do set -- "$@" -r "requirements/${extra}.txt"; done \
    && /opt/stanchion/bin/pip install --quiet --require-hashes "$@"

COPY pyproject.toml README.md LICENSE ./
COPY workflows ./workflows
COPY activities ./activities
COPY workers ./workers
COPY agents ./agents
# The project runs from its tree: an editable wheel only points there. Compiled now, because nothing can be written
# later; readable by all, because a checkout may not be.
RUN /opt/build/bin/hatchling build --clean --target wheel:editable -d /tmp/wheels \
    && /opt/stanchion/bin/pip install --quiet --no-deps --no-index /tmp/wheels/*.whl \
    && /opt/stanchion/bin/python -m compileall -q workflows activities workers agents \
    && chmod -R a+rX /app /opt/stanchion

FROM ${BASE}
# A number, so that an orchestrator can tell that it is not root. The folder is the one place for state, on a volume.
RUN groupadd --gid 10001 stanchion \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin stanchion \
    && install -d -o 10001 -g 10001 -m 0700 /var/lib/stanchion
COPY --from=build /opt/stanchion /opt/stanchion
COPY --from=build /app /app
ENV PATH=/opt/stanchion/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /app
USER 10001:10001
# SIGTERM asks a worker to let go of what is in flight, for up to 20 s; give it that, and an init as process 1.
STOPSIGNAL SIGTERM
ENTRYPOINT ["stanchion"]
CMD ["worker"]
