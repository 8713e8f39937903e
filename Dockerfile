# syntax=docker/dockerfile:1
# One image for every role: `docker run IMAGE pusher`, `… prober --region eu`, `… app`. See docker-compose.yml and deploy/.
#
# Python 3.11 is the version that the tests run on. A tag can be moved: whoever wants the very same bytes for ever appends
# the digest that their own registry shows for it.
FROM python:3.11.15-slim-trixie AS base

FROM base AS build
WORKDIR /build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv --without-pip /opt/betterstack
# What we depend on changes seldom, so it is a layer of its own. Wheels only, each with its hash: no stranger's code runs
# while the image is built.
COPY requirements.lock ./
RUN pip --python /opt/betterstack/bin/python install --require-hashes --only-binary :all: --requirement requirements.lock
# The build backend has its hash, too, instead of being fetched by an isolated build.
COPY deploy/build.lock ./
RUN pip install --require-hashes --only-binary :all: --requirement build.lock
COPY pyproject.toml README.md LICENSE ./
COPY pipeline ./pipeline
COPY workers ./workers
COPY app ./app
COPY notebooks ./notebooks
RUN pip wheel --no-build-isolation --no-deps --wheel-dir /wheels . \
 && pip --python /opt/betterstack/bin/python install --no-deps --no-index /wheels/*.whl

FROM base
LABEL org.opencontainers.image.title="BetterStack Workbench" \
      org.opencontainers.image.description="An uptime monitoring workbench for people who think in data." \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.base.name="python:3.11.15-slim-trixie"
# A number, since Kubernetes' runAsNonRoot cannot look a name up. Without a home, since nothing is to be kept in one.
# The official image ships its standard library without bytecode, and a read-only root could never add it: each process
# would compile it anew.
RUN groupadd --system --gid 10001 betterstack \
 && useradd --system --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin betterstack \
 && python -m compileall -q -x 'test|idlelib|lib2to3|turtledemo' /usr/local/lib/python3.11
COPY --from=build /opt/betterstack /opt/betterstack
ENV PATH=/opt/betterstack/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    BETTERSTACK_LOG_FORMAT=json \
    BETTERSTACK_ALIVE_FILE=/tmp/alive
USER 10001:10001
WORKDIR /tmp
EXPOSE 8501
# Every role, the app too, touches its alive file at least every two seconds while its loop turns. That is all which a
# restart of this container could cure. /healthz tells of the whole house: it would have a healthy app restarted because
# a prober is missing. And `find` costs a millisecond, a Python a tenth of a second of CPU in every container.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --start-interval=1s --retries=3 \
    CMD ["sh", "-c", "find \"$BETTERSTACK_ALIVE_FILE\" -newermt '15 seconds ago' | grep -q ."]
ENTRYPOINT ["betterstack"]
CMD ["--help"]
