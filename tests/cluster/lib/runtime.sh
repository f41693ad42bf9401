# rt/: what a `real` node needs beside bin/tc, unpacked from Debian packages; nothing is installed. Sourced by ../cluster.

runtime() {
  cd "$ROOT"
  if [ -e rt/.complete ]; then echo "rt/ is complete"; return; fi
  command -v apt-get > /dev/null && command -v dpkg > /dev/null || die "runtime needs Debian or a relative of it (apt-get, dpkg)"
  local packages=(containerd runc containernetworking-plugins busybox-static
    nftables libnftables1 libnftnl11 libmnl0 iptables libip4tc2 libip6tc2 libxtables12
    conntrack libnfnetlink0 libnetfilter-conntrack3 libseccomp2)
  rm -rf rt debs; mkdir debs rt
  fetch() { (cd debs && apt-get download -o APT::Sandbox::User=root "${packages[@]}") > debs/log 2>&1; }
  if ! fetch; then
    [ "$(id -u)" = 0 ] || { tail -n 5 debs/log >&2; die "apt-get download failed; run apt-get update as root, then this again"; }
    echo "apt-get download failed, trying again after apt-get update"
    apt-get update > /dev/null
    fetch || { tail -n 5 debs/log >&2; die "apt-get download failed"; }
  fi
  for d in debs/*.deb; do dpkg -x "$d" rt; done
  rm -rf debs
  touch rt/.complete
  echo "rt/: $(du -sh rt | cut -f1)"
}
