#!/usr/bin/env bash
# Has a real control plane take both overlays: API server with admission, scheduler and controllers over etcd, without
# kubelets, so pods are admitted, scheduled and counted but not run.
#   tests/ops/control_plane.sh FOLDER [CRDS]
# FOLDER holds kube-apiserver, kube-scheduler, kube-controller-manager and etcd (release tarballs have them; Debian has
# etcd-server); kubectl is on PATH. CRDS is a folder with KubeRay's definitions (helm-chart/kuberay-operator/crds);
# without it RayCluster and RayJob are left out. Takes a minute; everything ends and is removed with it.
set -euo pipefail

programs=$(realpath "$1")
crds=${2:+$(realpath "$2")}
cd "$(dirname "$0")/../.."
python=.venv/bin/python
work=$(mktemp -d)
export KUBECONFIG=$work/config
free_port() { "$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
api=$(free_port) store=$(free_port) peers=$(free_port)

started=()
finish() {
  code=$?
  kill -9 "${started[@]}" 2>/dev/null || true  # nothing of theirs is kept
  wait 2>/dev/null || true
  test $code = 0 || tail -n 5 "$work"/*.log
  rm -rf "$work"
}
trap finish EXIT
start() { local name=$1; shift; "$@" > "$work/$name.log" 2>&1 & started+=($!); }
until_true() {  # seconds, then a command
  local end=$((SECONDS + $1)); shift
  until "$@" > /dev/null 2>&1; do test $SECONDS -lt $end || { echo "in vain: $*"; return 1; }; sleep 0.5; done
}

openssl genrsa -out "$work/accounts.key" 2048 2> /dev/null
echo "secret-of-this-run,admin,admin,system:masters" > "$work/tokens"
start etcd "$programs/etcd" --data-dir "$work/etcd" --listen-client-urls "http://127.0.0.1:$store" \
  --advertise-client-urls "http://127.0.0.1:$store" --listen-peer-urls "http://127.0.0.1:$peers" --unsafe-no-fsync
start api "$programs/kube-apiserver" --etcd-servers "http://127.0.0.1:$store" --bind-address 127.0.0.1 \
  --secure-port "$api" --cert-dir "$work/certificates" --token-auth-file "$work/tokens" --authorization-mode RBAC \
  --service-account-issuer https://localhost --service-account-key-file "$work/accounts.key" \
  --service-account-signing-key-file "$work/accounts.key" --service-cluster-ip-range 10.0.0.0/24
kubectl config set-cluster test --server "https://127.0.0.1:$api" --insecure-skip-tls-verify > /dev/null
kubectl config set-credentials admin --token secret-of-this-run > /dev/null
kubectl config set-context test --cluster test --user admin --namespace ropewalk > /dev/null
kubectl config use-context test > /dev/null
until_true 120 kubectl get --raw /readyz
start scheduler "$programs/kube-scheduler" --kubeconfig "$KUBECONFIG" --secure-port 0
# Nobody renews the heartbeats of the nodes below.
start controllers "$programs/kube-controller-manager" --kubeconfig "$KUBECONFIG" --secure-port 0 --leader-elect=false \
  --node-monitor-grace-period 1h --service-account-private-key-file "$work/accounts.key" \
  --use-service-account-credentials=true

"$python" tests/ops/control_plane.py "$crds"
