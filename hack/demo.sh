#!/usr/bin/env bash
# The story of sandbank on one machine, told by running it. Everything happens in a temporary folder and is removed at
# the end, however it ends. If a step does not turn out as told, the demo says so and fails.
set -euo pipefail
cd "$(dirname "$0")/.."
exec </dev/null

# --- how the story is told ------------------------------------------------------------------------------------------

say() { printf '\n%s\n' "$*"; }

# Shows a command as one would type it, runs it and shows what it prints.
run() {
  printf '\n  $ %s\n' "$1"
  eval "$1" 2>&1 | sed 's/^/    /' || fail "that command should have succeeded"
}

fail() {
  printf '\ndemo: FAILED: %s\n' "$*" >&2
  if [ -s "$folder/up.log" ]; then
    printf 'demo: the last lines of the server:\n' >&2
    tail -n 20 "$folder/up.log" | sed 's/^/    /' >&2
  fi
  exit 1
}

# Asks until a command succeeds, at most so many seconds: `eventually 30 WHAT COMMAND...`.
eventually() {
  local seconds=$1 what=$2 deadline=$((SECONDS + $1))
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || fail "$what did not happen within $seconds s"
    sleep 0.1
  done
}

millis() { echo $(($(date +%s%N) / 1000000)); }

# --- before the story -----------------------------------------------------------------------------------------------

if [ "$(id -u)" -ne 0 ]; then
  echo "demo: FAILED: real containers need root on this machine: run \`sudo make demo\`" >&2
  exit 1
fi
profile=${DEMO_PROFILE:-release}
if [ "${1:-}" != inside ]; then
  say "Building sandbank ($profile) ..."
  if [ "$profile" = release ]; then
    cargo build --quiet --release -p sandbank
  else
    cargo build --quiet -p sandbank
  fi
  hack/install-kubectl.sh
  hack/setup-debian.sh ip unshare
  # From here on in a network of its own: the bridge and the addresses of the pods never show on this machine's.
  exec unshare --net hack/demo.sh inside
fi
ip link set lo up
[ "$profile" = release ] || profile=debug
PATH="$(realpath "${CARGO_TARGET_DIR:-target}")/$profile:$PWD/.tools:$PATH"

# --- the end, prepared first ----------------------------------------------------------------------------------------

folder=$(mktemp -d)
server=
watcher=
finish() {
  local code=$?
  trap - EXIT INT TERM
  [ -z "$watcher" ] || kill "$watcher" 2>/dev/null || true
  if [ -n "$server" ]; then
    sandbank reset --data-dir "$folder/data" >"$folder/reset.log" 2>&1 || {
      echo "demo: sandbank reset failed:" >&2
      cat "$folder/reset.log" >&2
      [ "$code" -ne 0 ] || code=1
    }
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  fi
  # Whatever is still mounted below it is not ours to delete.
  rm -rf --one-file-system "$folder"
  exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

export KUBECONFIG="$folder/kubeconfig"

# --- 1. a control plane ---------------------------------------------------------------------------------------------

say "1. A Kubernetes control plane on this machine: one process, one folder, no cluster."
printf '\n  $ sandbank up --data-dir %s &\n' "$folder/data"
began=$(millis)
sandbank up --data-dir "$folder/data" --listen 127.0.0.1:0 --kubeconfig "$KUBECONFIG" --runtime oci \
  >"$folder/up.out" 2>"$folder/up.log" &
server=$!
up_is_ready() { grep -q '^sandbank is ready' "$folder/up.out"; }
while ! up_is_ready; do
  kill -0 "$server" 2>/dev/null || { server=; fail "the server did not start"; }
  [ $(($(millis) - began)) -lt 20000 ] || fail "the server was not ready within 20 s"
  sleep 0.02
done
took=$(($(millis) - began))
sed 's/^/    /' "$folder/up.out"
say "That took $took ms from its start. kubectl knows it:"
run "kubectl get nodes"
run "kubectl api-resources --api-group=extensions.agents.x-k8s.io"

# --- 2. a warm pool -------------------------------------------------------------------------------------------------

say "2. A template says what to run; a pool keeps three sandboxes of it warm."
run "kubectl apply -f examples/quickstart"
printf '\n  $ kubectl get sandboxwarmpool quickstart --watch\n'
timeout 60 kubectl get sandboxwarmpool quickstart --watch >"$folder/filling" 2>&1 &
watcher=$!
kubectl wait sandboxwarmpool/quickstart --for=jsonpath='{.status.readyReplicas}'=3 --timeout=60s >/dev/null ||
  fail "the pool did not fill"
full_was_shown() { awk '$2 == 3 { found = 1 } END { exit !found }' "$folder/filling"; }
eventually 10 "the watch showing a full pool" full_was_shown
kill "$watcher" 2>/dev/null || true
watcher=
sed 's/^/    /' "$folder/filling"
say "These are real containers, each with an address of its own:"
run "kubectl get pods -o wide"

# --- 3. a claim -----------------------------------------------------------------------------------------------------

say "3. A claim gets one of them. The usual way, with kubectl:"
run "kubectl apply -f examples/quickstart/next/claim.yaml"
run "kubectl wait sandboxclaim/first --for=condition=Ready --timeout=30s"
run "kubectl get sandboxclaims"
first=$(kubectl get sandboxclaim first -o jsonpath='{.status.sandbox.name}')
[ -n "$first" ] || fail "the claim has no sandbox"
start=$(kubectl get sandbox "$first" -o jsonpath='{.metadata.labels.agents\.x-k8s\.io/launch-type}')
[ "$start" = warm ] || fail "the claim should have got a warm sandbox, but its start was ${start:-unknown}"

say "And with sandbank, which waits and says how long it took:"
run "sandbank claim --pool quickstart --name second --wait"

say "4. Commands run in them, with kubectl or by the claim's name:"
run "kubectl exec $first -- sh -c 'echo hello from \$(hostname), template version \$TEMPLATE_VERSION'"
run "sandbank exec second -- sh -c 'echo hello from \$(hostname), template version \$TEMPLATE_VERSION'"
said=$(sandbank exec second -- sh -c 'echo $TEMPLATE_VERSION')
[ "$said" = 1 ] || fail "the sandbox should run version 1 of the template, but says '$said'"
code=0
sandbank exec second -- sh -c 'exit 7' || code=$?
[ "$code" = 7 ] || fail "exec should end with the command's exit code 7, not $code"

# --- 5. the refill --------------------------------------------------------------------------------------------------

say "5. Two sandboxes were taken; the pool has made two new ones meanwhile:"
kubectl wait sandboxwarmpool/quickstart --for=jsonpath='{.status.readyReplicas}'=3 --timeout=60s >/dev/null ||
  fail "the pool did not refill"
run "sandbank pool ls"
run "kubectl get sandboxes"

# --- 6. the rollout -------------------------------------------------------------------------------------------------

say "6. The template changes. The pool rolls to it, the new sandbox first, so that three stay ready all the while."
kubectl get sandboxwarmpool quickstart --watch -o jsonpath='{.status.readyReplicas}{"\n"}' >"$folder/rolling" 2>&1 &
watcher=$!
eventually 10 "the watch of the pool" test -s "$folder/rolling"
run "kubectl apply -f examples/quickstart/next/template-v2.yaml"
warm_versions() {
  kubectl get pods --selector agents.x-k8s.io/warm-pool-sandbox \
    -o jsonpath='{range .items[*]}{.spec.containers[0].env[?(@.name=="TEMPLATE_VERSION")].value}{" "}{end}'
}
rolled() {
  [ "$(warm_versions)" = "2 2 2 " ] &&
    [ "$(kubectl get sandboxwarmpool quickstart -o jsonpath='{.status.readyReplicas}')" = 3 ]
}
began=$(millis)
eventually 120 "the rollout" rolled
took=$(($(millis) - began))
kill "$watcher" 2>/dev/null || true
watcher=
least=$(awk '{ n = $1 + 0; if (NR == 1 || n < least) least = n } END { print least }' "$folder/rolling")
samples=$(wc -l <"$folder/rolling")
say "Rolled in $took ms. A watch saw $samples states of the pool; the fewest ready sandboxes in any of them: $least."
[ "$least" -ge 3 ] || fail "the rollout took the pool below three ready sandboxes"
run "kubectl get pods -L agents.x-k8s.io/warm-pool-sandbox"

say "The sandboxes that were claimed before run on as they were; a new claim gets the new version:"
run "sandbank claim --pool quickstart --name third --wait"
run "sandbank exec first -- sh -c 'echo template version \$TEMPLATE_VERSION'"
run "sandbank exec third -- sh -c 'echo template version \$TEMPLATE_VERSION'"
[ "$(sandbank exec first -- sh -c 'echo $TEMPLATE_VERSION')" = 1 ] || fail "the rollout touched a claimed sandbox"
[ "$(sandbank exec third -- sh -c 'echo $TEMPLATE_VERSION')" = 2 ] || fail "a claim got a stale sandbox"

# --- 7. why, and how fast -------------------------------------------------------------------------------------------

say "7. Nothing happens without a reason, and every reason can be asked for:"
run "sandbank why claim/third"
run "sandbank why pool/quickstart"

say "8. How long does a claim take? Measured from its POST to Ready as a watcher sees it:"
run "sandbank bench claims --pool quickstart --count 20"

say "9. Given back, and cleaned up:"
run "sandbank release first second third"
run "sandbank status"
run "sandbank down --data-dir $folder/data"
wait "$server" || fail "the server ended with code $?"

say "That was sandbank: \`sandbank up\` starts your own; see examples/ for more."
