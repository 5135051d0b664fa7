# One recipe for every image: EXTRA says which service's dependencies go in (several with commas).
#   docker build --build-arg EXTRA=trainer -t ropewalk/trainer .
ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS build
ARG EXTRA
# The CPU build of torch; --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130 for a CUDA one.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
WORKDIR /build
RUN python -m venv /opt/ropewalk
# Dependencies first: they change less often than our source. An empty package is enough for pip to resolve them.
COPY pyproject.toml README.md LICENSE ./
RUN --mount=type=cache,target=/root/.cache/pip \
    test -n "${EXTRA}" || { echo "--build-arg EXTRA=<service> is missing"; exit 1; } \
    && mkdir -p libs/ropewalk services/ropewalk \
    && DS_BUILD_OPS=0 /opt/ropewalk/bin/pip install --extra-index-url "${TORCH_INDEX}" ".[${EXTRA}]"
COPY libs libs
COPY services services
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/ropewalk/bin/pip install --no-deps --force-reinstall .

FROM python:${PYTHON}-slim
ENV PATH=/opt/ropewalk/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/var/lib/ropewalk \
    ROPEWALK_STATE_DIR=/var/lib/ropewalk
# A named volume takes owner and mode from this folder.
RUN groupadd --gid 10001 ropewalk \
    && useradd --uid 10001 --gid ropewalk --home-dir /var/lib/ropewalk --shell /usr/sbin/nologin ropewalk \
    && install -d -o ropewalk -g ropewalk -m 0750 /var/lib/ropewalk
COPY --from=build /opt/ropewalk /opt/ropewalk
USER 10001:10001
WORKDIR /var/lib/ropewalk
CMD ["ropewalk", "--help"]
