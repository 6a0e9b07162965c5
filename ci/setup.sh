#!/usr/bin/env bash
# Installs what the other scripts need and this machine lacks. Prints nothing if nothing is missing.
#
# Usage:  ci/setup.sh [GROUP...]     default: lint, trace, wine and strangers
#           toolchain   rustfmt and clippy for the toolchain in use (RUSTUP_TOOLCHAIN, if set)
#           lint        toolchain, shellcheck, and the programs of ci/tools.txt in target/tools
#           cross       Debian's Rust with its library source, to check code for macOS and Windows
#           wine        cross, wine and mingw, to build and run Windows programs
#           trace       strace, for the tests of `iomatrix trace`; on Linux only
#           strangers   Go, a JDK, npm and cc, to build and run other people's servers
#           kernels     qemu and cpio, to boot other kernels
#           arm64       kernels, cross, and qemu and a C compiler for arm64
#           counters    lets this user count system calls with perf events, until the host restarts
#           network     higher limits for the accept queue, client ports and datagrams, on macOS
#                       only, until the host restarts
# Needs:  Python 3.11 for lint; Debian 12 and root (or sudo) for packages. If packages are missing
#         and cannot be installed, names them and ends with 69.
set -euo pipefail
cd "$(dirname "$0")/.."

# as_root COMMAND...: runs a command as root. Fails without root or sudo.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi
}

# packages [--OPTION...] NAME...: installs those of the Debian packages that are not installed.
packages() {
  local missing=() options=() name
  for name in "$@"; do
    case $name in
      --*)
        options+=("$name")
        continue
        ;;
    esac
    dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null | grep -qx installed ||
      missing+=("$name")
  done
  [ "${#missing[@]}" -gt 0 ] || return 0
  if ! command -v apt-get >/dev/null || ! as_root true 2>/dev/null; then
    echo "setup: cannot install ${missing[*]}: needs apt-get and root" >&2
    return 69
  fi
  echo "setup: installing ${missing[*]}"
  # A half-installed package would break every later run. So SIGTERM does not reach apt-get, and a
  # run waits while another one installs packages.
  (
    trap '' TERM
    exec 9>"${TMPDIR:-/tmp}/iomatrix-apt.lock"
    flock --wait 300 9
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
      --no-remove -o DPkg::Lock::Timeout=300 ${options[@]+"${options[@]}"} "${missing[@]}" \
      >/dev/null || {
      echo "setup: apt-get could not install ${missing[*]}" >&2
      exit 69
    }
  )
}

toolchain() {
  cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 && return
  rustup toolchain install "${RUSTUP_TOOLCHAIN:-stable}" --no-self-update \
    --profile minimal --component rustfmt --component clippy
}

lint() {
  toolchain
  command -v shellcheck >/dev/null || packages shellcheck
  local wanted=() program package
  while read -r program package; do
    case $program in '' | '#'*) continue ;; esac
    command -v "$program" >/dev/null || [ -x "target/tools/bin/$program" ] || wanted+=("$package")
  done <ci/tools.txt
  [ "${#wanted[@]}" -gt 0 ] || return 0
  echo "setup: installing ${wanted[*]} into target/tools"
  [ -x target/tools/bin/pip ] || python3 -m venv target/tools
  target/tools/bin/pip install --quiet --disable-pip-version-check "${wanted[@]}"
}

# `-Z build-std` needs a compiler and library source of one release, and only Debian has packages of
# both. Debian's compiler is newer than the project's. It is in /usr, so rustup can be present, too.
cross() {
  if ! grep -qs '^VERSION_CODENAME=bookworm' /etc/os-release; then
    echo "setup: the packages for cross and wine are those of Debian 12" >&2
    return 69
  fi
  packages rustc-web cargo-web rust-web-src rust-web-clippy
}

wine() {
  cross
  packages wine wine64 gcc-mingw-w64-x86-64
}

trace() {
  [ "$(uname)" = Linux ] || return 0
  command -v strace >/dev/null || packages strace
}

strangers() {
  local tool package wanted=()
  while read -r tool package; do
    command -v "$tool" >/dev/null || wanted+=("$package")
  done <<<'go golang-go
javac default-jdk-headless
npm npm
cc gcc'
  [ "${#wanted[@]}" -eq 0 ] || packages "${wanted[@]}"
}

# emulator PROGRAM PACKAGE: installs a qemu unless one is on the PATH. Tries this machine's release
# first. That fails if qemu-utils comes from backports: the two conflict, and apt-get may remove
# nothing. In that case, installs the qemu from backports.
emulator() {
  command -v "$1" >/dev/null && return
  packages "$2" 2>/dev/null && return
  local release archive list=/etc/apt/sources.list.d/iomatrix-backports.list
  release=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
  # shellcheck disable=SC2016 # apt replaces these
  archive=$(apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(LABEL)' |
    sed -n 's/ Debian Debian$//p' | sort -u | sed -n 1p)
  echo "deb $archive $release-backports main" | as_root tee "$list" >/dev/null || return 69
  packages --target-release="$release-backports" "$2" || {
    as_root rm -f "$list"
    return 69
  }
  as_root rm -f "$list"
}

kernels() {
  local tool package wanted=(debian-archive-keyring)
  while read -r tool package; do
    command -v "$tool" >/dev/null || wanted+=("$package")
  done <<<'cpio cpio
strip binutils
xz xz-utils'
  packages "${wanted[@]}"
  emulator qemu-system-x86_64 qemu-system-x86
}

arm64() {
  kernels
  cross
  emulator qemu-system-aarch64 qemu-system-arm
  packages gcc-aarch64-linux-gnu libc6-dev-arm64-cross
}

counters() {
  local place=/sys/kernel/tracing
  [ "$(uname -s)" = Linux ] || return 0
  if [ "$(cat /proc/sys/kernel/perf_event_paranoid)" -gt 1 ]; then
    as_root sysctl --quiet kernel.perf_event_paranoid=1 || return 69
  fi
  [ ! -r $place/events/raw_syscalls/sys_enter/id ] || return 0
  if mountpoint --quiet $place; then
    as_root mount --options remount,mode=755 $place || return 69
  else
    as_root mount --types tracefs --options mode=755 tracefs $place || return 69
  fi
}

# The suite does not need this. A system may refuse a setting; `iomatrix doctor` shows the result.
network() {
  local setting
  case $(uname -s) in
    Darwin)
      for setting in kern.ipc.somaxconn=2048 net.inet.tcp.msl=1000 \
        net.inet.ip.portrange.first=16384 net.inet.udp.maxdgram=65535 \
        net.local.dgram.recvspace=262144 net.local.dgram.maxdgram=65535; do
        as_root sysctl "$setting" || echo "setup: the system refuses $setting" >&2
      done
      ;;
  esac
}

[ $# -gt 0 ] || set -- lint trace wine strangers
for group in "$@"; do
  case $group in
    toolchain | lint | cross | wine | trace | strangers | kernels | arm64 | counters | network)
      "$group"
      ;;
    *)
      echo "setup: no group '$group'; use toolchain, lint, cross, wine, trace, strangers," \
        "kernels, arm64, counters or network" >&2
      exit 2
      ;;
  esac
done
