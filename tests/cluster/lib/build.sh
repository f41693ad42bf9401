# bin/tc, when it is missing or the module has changed since (bin/.stamp). Sourced by ../cluster.

# What the binary is made of, as one hash.
stamp() { find go.mod go.sum versions.env cmd -type f | sort | xargs cat | sha256sum | cut -d' ' -f1; }

current() { [ -x bin/tc ] && [ "$(cat bin/.stamp 2> /dev/null)" = "$(stamp)" ]; }

build() {
  cd "$ROOT"; . ./versions.env
  mkdir -p bin
  exec 8> bin/.lock
  flock -n 8 || { echo "another build is running, waiting for it"; flock 8; }
  if current; then echo "bin/tc is up to date"; return; fi
  command -v go > /dev/null || die "go not found: $(awk '$1 == "go" { print $2 }' go.mod) or newer is needed (https://go.dev/dl)"

  local version=k8s.io/component-base/version minor=${KUBERNETES#v1.} total start result
  minor=${minor%%.*}
  local flags="-s -w -X $version.gitVersion=$KUBERNETES -X $version.gitMajor=1 -X $version.gitMinor=$minor -X $version.gitTreeState=clean -X $version.gitCommit=unknown -X $version.buildDate=1970-01-01T00:00:00Z"
  export CGO_ENABLED=0 GOWORK=off
  if [ -n "${TC_DROP_GOCACHE:-}" ]; then
    GOCACHE=$(mktemp -d "$ROOT/bin/.gocache-XXXXXX"); export GOCACHE
    trap 'rm -rf "$GOCACHE"' EXIT
  fi
  echo "building bin/tc: the first time takes 5 to 20 minutes on two cores, needs 4 GiB of memory and 5 GB of disk"
  echo "fetching modules (log: bin/build.log)"
  total=$(go list -deps ./cmd/tc 2> bin/build.log | wc -l) || { tail -n 20 bin/build.log >&2; die "go list failed"; }
  start=$SECONDS
  exec 7< <(${NICE:+nice -n 10} go build -v -trimpath -buildvcs=false -ldflags "$flags" -o bin/tc.new ./cmd/tc 2>> bin/build.log 8>&- && echo built || echo failed)
  until read -rt 15 -u 7 result; do
    [ $? -gt 128 ] || die "go build was killed"
    printf '%4d s: %d of at most %d packages compiled\n' $((SECONDS - start)) "$(grep -vc '^go: ' bin/build.log || true)" "$total"
  done
  [ "$result" = built ] || { tail -n 20 bin/build.log >&2; die "go build failed"; }
  mv bin/tc.new bin/tc # in one step: clusters that run keep the old one
  stamp > bin/.stamp
  echo "bin/tc built in $((SECONDS - start)) s"
}
