# One recipe for both images. EXTRA, an extra of pyproject.toml, says whose dependencies go in:
#   docker build --build-arg EXTRA=core -t ropewalk/core .    ingest, monitor, streams and the command line; no torch
#   docker build --build-arg EXTRA=ml -t ropewalk/ml .        every other service, Triton and the nodes of Ray
# `make images` gives version and revision too. There is no RUN --mount: Docker 20.10 builds this without BuildKit.
ARG PYTHON=3.11
ARG BASE=python:${PYTHON}-slim
# Another image with the same Python may do the building, e.g. one that holds all wheels (tests/compose/images.sh).
ARG BUILD=${BASE}

FROM ${BUILD} AS dependencies
ARG EXTRA
# The CPU build of torch; --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130 for a CUDA one.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
# strip, for what wheels carry of debugging symbols
RUN command -v strip >/dev/null || { apt-get update && apt-get install --yes --no-install-recommends binutils; }
# pip stays outside the environment that is shipped.
RUN python3 -m venv /opt/pip && python3 -m venv --without-pip /opt/ropewalk
WORKDIR /build
# Dependencies first: they change less often than our source. An empty package is enough for pip to resolve them.
COPY pyproject.toml README.md LICENSE ./
RUN test -n "${EXTRA}" || { echo "--build-arg EXTRA=core or EXTRA=ml is missing"; exit 1; } \
    && mkdir -p libs/ropewalk services/ropewalk \
    && DS_BUILD_OPS=0 /opt/pip/bin/pip --python /opt/ropewalk/bin/python install --no-cache-dir --no-compile --use-pep517 \
        ${TORCH_INDEX:+--extra-index-url "${TORCH_INDEX}"} ".[${EXTRA}]" \
    && /opt/pip/bin/pip --python /opt/ropewalk/bin/python uninstall --yes ropewalk
# What no program needs at run time: tests, headers, static libraries, sources of Cython, numpy's builder, Arrow's RPC
# and second names of its libraries, debugging symbols. Libraries in *.libs were rewritten by auditwheel, after which
# strip may break them.
RUN cd /opt/ropewalk/lib/python3*/site-packages \
    && find . -type d \( -name tests -o -name include \) -prune -exec rm -r {} + \
    && find . -type f \( -name "*.a" -o -name "*.h" -o -name "*.pyi" -o -name "*.px[di]" -o -name "*.pyx" \) -delete \
    && rm -rf numpy/distutils numpy/f2py numpy/core/_simd.*.so zstandard/_cffi.* \
    && rm -rf pyarrow/src pyarrow/*flight* pyarrow/*_cpp_tests* pyarrow/libarrow_python*.so pyarrow/libarrow_python*.so.*.* \
    && find . -type f \( -name "*.so" -o -path "./pyarrow/*.so.*" \) -not -path "./*.libs/*" -not -path "./pytriton/*" \
        -exec strip --strip-unneeded {} +
# Compiled files hold no time, so they count whatever a copy does to the sources. Not compiled: what is never imported,
# and templates in Python's name.
RUN cd /opt/ropewalk/lib/python3*/site-packages \
    && /opt/ropewalk/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash \
        -x 'pygments/(lexers|styles)/[a-z]|faststream/(confluent|kafka|mqtt|rabbit|redis)/|pydantic/v1/|semconv/_incubating/|cc_sqlalchemy/' . > /dev/null \
    || test -e numpy/__pycache__

FROM dependencies AS source
COPY libs libs
COPY services services
RUN /opt/pip/bin/pip --python /opt/ropewalk/bin/python install --no-cache-dir --no-deps --no-compile --prefix /staged . \
    && /opt/ropewalk/bin/python -m compileall -q --invalidation-mode unchecked-hash /staged

FROM ${BASE}
ENV PATH=/opt/ropewalk/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/var/lib/ropewalk \
    ROPEWALK_STATE_DIR=/var/lib/ropewalk
# A named volume takes owner and mode from this folder.
RUN groupadd --gid 10001 ropewalk \
    && useradd --uid 10001 --gid ropewalk --home-dir /var/lib/ropewalk --shell /usr/sbin/nologin ropewalk \
    && install -d -o ropewalk -g ropewalk -m 0750 /var/lib/ropewalk
COPY --from=dependencies /opt/ropewalk /opt/ropewalk
COPY --from=source /staged /opt/ropewalk
USER 10001:10001
WORKDIR /var/lib/ropewalk
CMD ["ropewalk", "--help"]
ARG EXTRA
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="ropewalk/${EXTRA}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0"
