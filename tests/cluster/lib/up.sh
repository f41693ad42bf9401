# Starts a cluster, a new one or one that was stopped. Sourced by ../cluster.
. "$ROOT/lib/addons.sh"

up() {
  [ $# -ge 2 ] || { usage >&2; exit 2; }
  local kind=$1 port='' nodes=3 auth='' owner='' reverse=() begin=${EPOCHREALTIME/./}
  name "$2"; shift 2
  while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || die "$1 needs a value"
    case $1 in
    --port) port=$2;; --nodes) nodes=$2;; --owner) owner=$2;; --reverse) reverse+=("$2");;
    --auth) auth=$(realpath -e "$2") || die "--auth $2: no such file";;
    *) die "up: what is $1?";;
    esac
    shift 2
  done
  KIND=$kind
  case $kind in bare|kwok) ;; real) real_possible "$auth";; *) die "up: $kind is none of bare, kwok, real";; esac

  mkdir -p "$DIR/log"; chmod 0700 "$DIR"; lock
  [ -d "$DIR" ] || die "$NAME went down meanwhile"
  local fresh=yes
  if [ -e "$DIR/kind" ]; then
    [ "$(< "$DIR/kind")" = "$kind" ] || die "$NAME is a $(< "$DIR/kind") cluster; take it down first"
    if [ "$(state)" = up ]; then
      [ -z "$owner" ] || die "$NAME is up already, and would not go down with process $owner"
      echo "$NAME is up already"; return
    fi
    local old; old=$(cat "$DIR/port" 2> /dev/null) || true # an `up` that was killed may have left none
    [ -z "$old" ] || [ "${port:-$old}" = "$old" ] || die "$NAME has port $old; take it down to change that"
    port=${port:-$old}
    if [ "$kind" = real ]; then remove; mkdir -p "$DIR/log"; chmod 0700 "$DIR"; lock; else halt --now; fresh=; fi
  fi
  FRESH=$fresh STEP=kube-apiserver
  trap failed EXIT
  trap 'STEP=; exit 1' HUP INT TERM
  echo "$kind" > "$DIR/kind"
  local table=; [ "$kind" != real ] || table=--host
  [ -z "$owner" ] || tc spawn --dir "$DIR" --host -- watch --dir "$DIR" $table "$owner" "$ROOT/cluster" down "$NAME" > /dev/null
  PORT=$(tc reserve "$DIR" ${port:+"$port"}); export PORT AUTH=$auth

  "up_$kind" "$nodes" ${reverse[@]+"${reverse[@]}"}
  touch "$DIR/ready"
  trap - EXIT
  printf '%s is up in %d.%d s\nexport KUBECONFIG=%s\n' "$NAME" $(((${EPOCHREALTIME/./} - begin) / 1000000)) $(((${EPOCHREALTIME/./} - begin) / 100000 % 10)) "$DIR/admin.kubeconfig"
}

# The EXIT trap of `up`: says what broke, then leaves nothing of a new cluster, and the data of an old one.
failed() {
  trap - EXIT
  set +e
  local dead
  [ "$KIND" = real ] && STEP=node || dead=$(tc ps --dir "$DIR" | awk '$3 == "dead" { print $1 }')
  for component in ${dead:-$STEP}; do
    [ -s "$DIR/log/$component.log" ] || continue
    echo "--- the end of $component.log" >&2
    tail -n 20 "$DIR/log/$component.log" >&2
  done
  if [ -n "$FRESH" ]; then remove; else halt --now; fi
  die "$NAME did not come up"
}

up_bare() { tc up --name "$NAME" --dir "$DIR" --port "$PORT" ${AUTH:+--auth "$AUTH"}; }

up_kwok() {
  up_bare
  STEP=kwok
  { tc kwok-defaults; manifest kwok.yaml; } > "$DIR/kwok.yaml"
  local now; now=$(date -u +%Y-%m-%dT%H:%M:%S.000000000Z) # the logs of all fake pods, in the format of a CRI
  printf '%s\n' "$now stdout F fake line 1" "$now stderr F fake line 2" > "$DIR/current.log"
  printf '%s\n' "$now stderr F panic: fake crash" > "$DIR/previous.log"
  tc spawn --dir "$DIR" -- kwok --config="$DIR/kwok.yaml" --kubeconfig="$DIR/admin.kubeconfig" --manage-all-nodes --cidr=10.60.0.0/16 --node-ip=127.0.0.1 \
    --node-port=$((PORT + 5)) --server-address=127.0.0.1:$((PORT + 5)) --tls-cert-file="$DIR/pki/kubelet.crt" --tls-private-key-file="$DIR/pki/kubelet.key" \
    --node-lease-duration-seconds=40 > /dev/null
  local have; have=$(kubectl get nodes -o name | wc -l)
  [ "$have" -ge "$1" ] || fake_nodes $((have + 1)) "$1" | kubectl create --validate=false -f - > /dev/null
  STEP=metrics-server; metrics; STEP=kwok
  local end=$((SECONDS + 60 + $1 / 10))
  until [ "$(kubectl get nodes --no-headers | grep -cw Ready)" -ge "$1" ]; do
    [ $SECONDS -lt $end ] && [ "$(tc ps --dir "$DIR" | grep -c ' dead$')" = 0 ] || { echo "the nodes do not get ready" >&2; exit 1; }
    sleep 0.1
  done
}

# Node objects number $1 to $2, one JSON document each.
fake_nodes() {
  local i n resources='{"cpu":"8","memory":"32Gi","pods":"110"}'
  for ((i = $1; i <= $2; i++)); do
    n=$NAME-fake-$i
    printf '{"apiVersion":"v1","kind":"Node","metadata":{"name":"%s","labels":{"type":"kwok","kubernetes.io/os":"linux","kubernetes.io/hostname":"%s"},' "$n" "$n"
    printf '"annotations":{"metrics.k8s.io/resource-metrics-path":"/metrics/nodes/%s/metrics/resource","kwok.x-k8s.io/node":"fake"}},' "$n"
    printf '"status":{"capacity":%s,"allocatable":%s}}\n' "$resources" "$resources"
  done
}

real_possible() {
  root
  [ -e "$ROOT/rt/.complete" ] || die "no rt/ yet: run $ROOT/cluster runtime"
  command -v ip > /dev/null || die "real needs the command ip (iproute2)"
  local path
  for path in "$ROOT" "$TC_RUN" "$1"; do # node.sh puts its own over these
    case $path/ in /run/*|/var/run/*|/var/lib/*|/var/log/*) die "real cannot use $path: its node has another /run, /var/lib and /var/log";; esac
  done
}

up_real() { # reverse ports after the number of nodes
  local pid; pid=$(tc spawn --dir "$DIR" --host --node --name node -- "$ROOT/lib/node.sh")
  tc spawn --dir "$DIR" --host --name forward -- forward --pid "$pid" --listen "127.0.0.1:$PORT" --to "127.0.0.1:$PORT" > /dev/null
  for port in "${@:2}"; do
    tc spawn --dir "$DIR" --host --name "reverse-$port" -- forward --reverse --pid "$pid" --listen "127.0.0.1:$port" --to "127.0.0.1:$port" > /dev/null
  done
  until [ -e "$DIR/node-ready" ]; do
    kill -0 "$pid" 2> /dev/null || exit 1
    sleep 0.05
  done
  cat "$DIR/log/node.log"
  kubectl get nodes > /dev/null # by the forward
}
