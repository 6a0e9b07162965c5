#!/usr/bin/env bash
# Installs what the other scripts need and this machine lacks. Prints nothing if nothing is missing.
#
# Usage:  ci/setup.sh [GROUP...]     default: all groups
#           toolchain   rustfmt and clippy for the toolchain in use (RUSTUP_TOOLCHAIN, if set)
#           lint        toolchain, shellcheck, and the programs of ci/tools.txt in target/tools
#           cross       Debian's Rust with its library source, to check code for macOS and Windows
#           wine        cross, wine and mingw, to build and run Windows programs
#           trace       strace, for the tests of `iomatrix trace`; on Linux only
#           strangers   Go, a JDK, npm and cc, to build and run other people's servers
# Needs:  Python 3.11 for lint; Debian 12 and root (or sudo) for packages. If packages are missing
#         and cannot be installed, names them and ends with 69.
set -euo pipefail
cd "$(dirname "$0")/.."

# packages NAME...: installs those of the Debian packages that are not installed.
packages() {
  local missing=() name
  for name in "$@"; do
    dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null | grep -qx installed ||
      missing+=("$name")
  done
  [ "${#missing[@]}" -gt 0 ] || return 0
  local as_root=()
  [ "$(id -u)" -eq 0 ] || as_root=(sudo -n)
  if ! command -v apt-get >/dev/null || ! "${as_root[@]}" true 2>/dev/null; then
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
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
      --no-install-recommends -o DPkg::Lock::Timeout=300 "${missing[@]}" >/dev/null
  )
}

toolchain() {
  cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 && return
  rustup toolchain install "${RUSTUP_TOOLCHAIN:-stable}" \
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

[ $# -gt 0 ] || set -- lint trace wine strangers
for group in "$@"; do
  case $group in
    toolchain | lint | cross | wine | trace | strangers) "$group" ;;
    *)
      echo "setup: no group '$group'; use toolchain, lint, cross, wine, trace or strangers" >&2
      exit 2
      ;;
  esac
done
