#!/usr/bin/env bash
# Judges rows on other Linux kernels. Boots Debian's kernels in a QEMU machine whose memory holds
# the judge, the servers and a shell, and brings the result files back. Needs no root, no container
# and no disk image. It uses KVM where that works, never for arm64. Without KVM the processor is
# emulated, and cases that judge latency are unavailable.
#
# Usage:  ci/kernels.sh [KERNEL...] [-- ARGUMENTS OF iomatrix check...]
#         KERNEL         5.10, 6.1, 6.12, newest (default: these four), or the name of a package of
#                        trixie-backports without `linux-image-`, e.g. 6.18.15+deb13-cloud-amd64;
#                        with -arm64 at its end, such as 6.12-arm64, a kernel for arm64
#         ARGUMENTS      all but --output; default: --suite tcp-echo --profile quick
#                        --jobs 2
#         KERNELS_LIMIT  seconds after which the check of one kernel is ended (default 3600)
#         Writes target/systems/linux-KERNEL.json, which ci/systems.sh merges, and into
#         target/kernels/KERNEL/ the printed page, what doctor prints, the kernel's log and the
#         console. Red if a check is red, if a kernel gave no result, or if it served or
#         refused a row against what the registry says.
# Needs:  Debian on x86_64, whose mirror also has other releases of Debian; cargo; Python 3.11;
#         ci/setup.sh kernels, and for arm64 ci/setup.sh arm64. If a tool is missing, or a package
#         cannot be downloaded, names it and ends with 69. By default, takes about 15 min on two
#         cores, or 10 s per kernel and row, after building.
set -euo pipefail
cd "$(dirname "$0")/.."
kernels=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  kernels+=("$1")
  shift
done
[ $# -eq 0 ] || shift
[ "${#kernels[@]}" -gt 0 ] || kernels=(5.10 6.1 6.12 newest)
# More cells side by side than processors would outlast their limits where these are emulated.
[ $# -gt 0 ] || set -- --suite tcp-echo --profile quick --jobs 2
limit=${KERNELS_LIMIT:-3600}
out=$PWD/target/kernels
keys=/usr/share/keyrings/debian-archive-keyring.gpg
arm64=aarch64-unknown-linux-gnu
servers=$(python3 ci/facts.py servers linux)

# unavailable REASON: ends the script because this machine lacks something.
unavailable() {
  echo "kernels: not judged: $1" >&2
  exit 69
}

# architecture KERNEL: prints the architecture of a kernel, as Debian calls it.
architecture() {
  case $1 in
    *-arm64) echo arm64 ;;
    *) echo amd64 ;;
  esac
}

if [ "$(uname -s) $(uname -m)" != 'Linux x86_64' ]; then
  unavailable "the script is written for Debian on x86_64"
fi
architectures=()
needed=(apt-get dpkg-deb cpio strip xz)
for kernel in "${kernels[@]}"; do
  case $kernel in
    5.10 | 6.1 | 6.12 | newest | [0-9]*-amd64) needed+=(qemu-system-x86_64) ;;
    [0-9]*-arm64 | newest-arm64) needed+=(qemu-system-aarch64 aarch64-linux-gnu-gcc) ;;
    *)
      echo "kernels: no kernel is called '$kernel'; use 5.10, 6.1, 6.12 or newest, and put" \
        "-- before the arguments of iomatrix check" >&2
      exit 2
      ;;
  esac
  [[ " ${architectures[*]} " == *" $(architecture "$kernel") "* ]] ||
    architectures+=("$(architecture "$kernel")")
done
missing=()
for tool in "${needed[@]}"; do
  command -v "$tool" >/dev/null || [[ " ${missing[*]} " == *" $tool "* ]] || missing+=("$tool")
done
[ -e "$keys" ] || missing+=("$keys")
if [ "${#missing[@]}" -gt 0 ]; then
  unavailable "no ${missing[*]}; run ci/setup.sh kernels, and for arm64 ci/setup.sh arm64"
fi
if [[ " ${architectures[*]} " == *' arm64 '* ]] &&
  [ ! -d "$(rustc --print target-libdir --target "$arm64")" ] &&
  [ ! -e /usr/lib/rustlib/src/rust/library/std/Cargo.toml ]; then
  unavailable "no standard library for $arm64; run ci/setup.sh arm64"
fi

# find_source LABEL: prints from where this machine's apt gets an archive of Debian's: `Debian`, or
# `Debian-Security`.
find_source() {
  # shellcheck disable=SC2016 # apt replaces these
  apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(LABEL)' |
    sed -n "s/ Debian $1\$//p" | sort -u | sed -n 1p
}

archive=$(find_source Debian)
security=$(find_source Debian-Security)
if [ -z "$archive" ] || [ -z "$security" ]; then
  unavailable "apt knows no source of Debian's packages; on Debian, run apt-get update as root"
fi
# The proxies of this machine, and the like.
network=$(apt-config dump | grep -E '^Acquire::https?::' || true)

# use_release RELEASE ARCHITECTURE: lets apt see the packages of this release of Debian, and no
# others. Its lists and cache are below target/: this machine's own are neither read nor changed.
# Downloads the lists at most once a day.
use_release() {
  local folder=$out/apt/$1-$2 uri=$archive
  [ "$1" != bullseye-security ] || uri=$security
  export APT_CONFIG=$folder/conf
  [ -z "$(find "$folder" -maxdepth 1 -name updated -mmin -1440 2>/dev/null)" ] || return 0
  mkdir -p "$folder/lists/partial" "$folder/archives/partial"
  echo "deb [signed-by=$keys] $uri $1 main" >"$folder/sources"
  # The lists of a release that gets no more updates expire, and are still of use here.
  cat >"$folder/conf" <<END
Dir::Etc { sourcelist "$folder/sources"; sourceparts "/dev/null"; };
Dir::Etc { parts "/dev/null"; preferencesparts "/dev/null"; };
Dir::State { lists "$folder/lists"; status "/dev/null"; };
Dir::Cache "$folder"; Dir::Cache::archives "$folder/archives";
APT { Architecture "$2"; Architectures { "$2"; }; Sandbox::User ""; Update::Error-Mode "any"; };
Acquire { Languages "none"; GzipIndexes "true"; Check-Valid-Until "false"; };
$network
END
  apt-get update -qq && touch "$folder/updated"
}

# read_field PACKAGE NAME: prints a field of the newest version of a package.
read_field() {
  apt-cache show --no-all-versions "$1" | sed -n "s/^$2: //p"
}

# unpack PACKAGE FOLDER: downloads and extracts a Debian package, and installs nothing.
unpack() {
  rm -rf "$2.deb"
  mkdir -p "$2.deb" "$2"
  (cd "$2.deb" && apt-get download -qq "$1") && dpkg-deb -x "$2.deb"/*.deb "$2" && rm -r "$2.deb"
}

# fetch_kernel KERNEL: fetches a kernel's image, and the two modules that answer the judge's
# questions about sockets (sock_diag(7)). Fails if a package cannot be downloaded.
fetch_kernel() {
  local folder=$out/fetched/$1 new=$out/fetched/$1.new architecture release package version part
  architecture=$(architecture "$1")
  package=linux-image-cloud-$architecture
  case $1 in
    # The mirrors lack the arm64 packages of the security updates.
    5.10-arm64) release=bullseye ;;
    5.10) release=bullseye-security ;;
    6.1 | 6.1-arm64) release=bookworm ;;
    6.12 | 6.12-arm64) release=trixie ;;
    newest | newest-arm64) release=trixie-backports ;;
    *) release=trixie-backports package=linux-image-$1 ;;
  esac
  use_release "$release" "$architecture" || return 1
  # linux-image-cloud is an empty package that depends on the newest kernel.
  if [ "$package" != "linux-image-$1" ]; then
    package=$(read_field "$package" Depends |
      sed 's/.*\(linux-image-[0-9][^ ,]*\).*/\1/') || return 1
  fi
  version=$(read_field "$package" Version) || return 1
  [ "$(cat "$folder/version" 2>/dev/null)" != "$package $version" ] || return 0
  echo "kernels: fetching $package $version"
  rm -rf "$new"
  # The image and the modules of newer kernels are in packages of their own.
  for part in image binary modules; do
    ! apt-cache show "${package/image/$part}" >/dev/null 2>&1 ||
      unpack "${package/image/$part}" "$new/all" || return 1
  done
  mkdir -p "$new/lib"
  find "$new/all" -name 'vmlinuz*' -exec mv {} "$new/image" \;
  find "$new/all" \( -name 'inet_diag.ko*' -o -name 'tcp_diag.ko*' \) -exec mv {} "$new/lib" \;
  find "$new/lib" -name '*.xz' -exec xz -d {} +
  if [ ! -e "$new/image" ]; then
    echo "kernels: $package $version contains no kernel image" >&2
    return 1
  fi
  rm -rf "$new/all" "$folder"
  echo "$package $version" >"$new/version"
  mv "$new" "$folder"
}

# fetch_shell ARCHITECTURE: fetches busybox, which needs no libraries.
fetch_shell() {
  [ ! -e "$out/fetched/busybox-$1/bin/busybox" ] || return 0
  use_release bookworm "$1" && unpack busybox-static "$out/fetched/busybox-$1"
}

# compile ARCHITECTURE PACKAGE [CARGO'S ARGUMENTS...]: builds the program of a package.
compile() (
  local options=()
  if [ "$1" = arm64 ]; then
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
    options=(--target "$arm64" --target-dir "$out/build" --config profile.dev.debug=0)
    if [ ! -d "$(rustc --print target-libdir --target "$arm64")" ]; then
      # Debian's compiler, because its library source is of the same release.
      export PATH=/usr/bin:$PATH RUSTC_BOOTSTRAP=1
      options+=(-Z "build-std=std,panic_unwind")
    fi
  fi
  cargo build --quiet "${options[@]}" -p "${@:2}"
)

# pack FOLDER: prints an archive of a folder's files, in the form in which a kernel takes them.
pack() {
  (cd "$1" && find . | cpio -o -H newc --quiet)
}

# build_programs ARCHITECTURE: builds the judge and all servers, each alone, as users do. Packs them
# with busybox, and with the libraries of the C compiler that has linked them.
build_programs() {
  local root=$out/root-$1 built=${CARGO_TARGET_DIR:-target}/debug program
  local prefix='' libraries=/lib/x86_64-linux-gnu
  if [ "$1" = arm64 ]; then
    prefix=aarch64-linux-gnu- libraries=/usr/aarch64-linux-gnu/lib built=$out/build/$arm64/debug
  fi
  rm -rf "$root"
  mkdir -p "$root/bin" "$root/lib"
  compile "$1" iomatrix --all-features
  for program in $servers; do compile "$1" "$program"; done
  for program in iomatrix $servers; do
    "${prefix}strip" -o "$root/bin/$program" "$built/$program"
  done
  cp "$libraries"/{libc.so.6,libm.so.6,libgcc_s.so.1,ld-linux-*.so.?} "$root/lib/"
  ln -s lib "$root/lib64"
  cp "$out/fetched/busybox-$1/bin/busybox" "$root/bin/"
  install -m 755 ci/kernels-init "$root/init"
  pack "$root" >"$out/programs-$1"
}

# boot KERNEL: becomes the emulated machine, and prints what is on its console.
boot() {
  local emulator console=ttyS0
  case $(architecture "$1")-$accelerator in
    amd64-kvm) emulator=(qemu-system-x86_64 -M q35 -accel kvm -cpu host) ;;
    amd64-tcg) emulator=(qemu-system-x86_64 -M q35 -accel tcg -cpu max) ;;
    arm64-*)
      emulator=(qemu-system-aarch64 -M virt -accel tcg -cpu "max,pauth-impdef=on")
      console=ttyAMA0
      ;;
  esac
  # The check has its own limit. This one is for a kernel that hangs.
  exec timeout --kill-after=5 "$((limit + 300))" "${emulator[@]}" -smp 2 -m 3G -nodefaults \
    -no-user-config -no-reboot -display none -serial stdio -kernel "$out/fetched/$1/image" \
    -initrd "$out/initrd" -append "console=$console quiet panic=-1"
}

# judge KERNEL ARGUMENTS...: boots the kernel, and takes the results from the console. Succeeds if
# the check is green, or if no row can run on this kernel.
judge() {
  local kernel=$1 folder=$out/$1 disk=$out/disk status before=$SECONDS
  local result=$PWD/target/systems/linux-$1.json
  shift
  rm -rf "$folder" "$result" "$disk"
  mkdir -p "$folder" "$disk" "$(dirname "$result")"
  cp -R "$out/fetched/$kernel/lib" "$disk/lib"
  {
    printf 'CONFORMANCE_LABEL=linux-%q timeout %q iomatrix check' "$kernel" "$limit"
    printf ' %q' "$@" --output text --output json=/out/check.json
    echo
  } >"$disk/command"
  { cat "$out/programs-$(architecture "$kernel")" && pack "$disk"; } >"$out/initrd"
  boot "$kernel" </dev/null >"$folder/console" 2>&1 &
  machine=$!
  wait "$machine" || true
  machine=
  sed -n '/^-----BEGIN RESULTS/,/^-----END RESULTS/{/^-----/d;p}' "$folder/console" |
    base64 -d -i 2>/dev/null | tar -xzm -C "$folder" 2>/dev/null || true
  status=$(cat "$folder/status" 2>/dev/null || echo none)
  if [ ! -s "$folder/check.json" ]; then
    sed '/^-----BEGIN RESULTS/,/^-----END RESULTS/d' "$folder/console" | tail -n 20 >&2
    echo "kernels: no result from $kernel (status $status); the end of its console is above" >&2
    return 1
  fi
  mv "$folder/check.json" "$result"
  printf 'kernels: %s (%s) ended with %s after %d s: ' \
    "$kernel" "$(cat "$out/fetched/$kernel/version")" "$status" $((SECONDS - before))
  count_cells "$result" "$kernel" || return 1
  [ "$status" = 0 ] || [ "$status" = 69 ]
}

# count_cells FILE KERNEL: prints how many cells a result has of each verdict, and the names of the
# red ones. Fails if the kernel has served or refused a row against what the registry says.
count_cells() {
  python3 - "$1" "$2" <<'PYTHON'
import collections, json, re, sys, tomllib
with open(sys.argv[1]) as file:
    cells = json.load(file)["cells"]
counts = collections.Counter(cell["verdict"] for cell in cells)
print(", ".join(f"{count} {verdict}" for verdict, count in counts.most_common()))
fine = ("pass", "miss", "info", "unsupported", "unavailable")
for cell in cells:
    if cell["verdict"] not in fine:
        print(f"  {cell['verdict']:<8} {cell['row']}::{cell['suite']}::{cell['case']}")


def version(release):
    numbers = re.findall(r"\d+", release)[:2]
    return tuple(map(int, numbers)) if numbers else (999,)


asked = {cell["row"] for cell in cells}
judged = {cell["row"] for cell in cells if cell["verdict"] != "unavailable"}
kernel, wrong = version(sys.argv[2]), False
with open("backends/backends.toml", "rb") as file:
    rows = [row for row in tomllib.load(file)["row"] if "linux" in row and row["name"] in asked]
for row in rows:
    name, runs = row["name"], row["linux"]
    if name not in judged and kernel >= version(runs["served"]):
        print(f"  {name} was not judged, and the registry says that {runs['served']} serves it")
        wrong = True
    if name in judged and kernel <= version(runs.get("refused", "0.0")):
        print(f"  {name} was judged, and the registry says that {runs['refused']} refuses it")
        wrong = True
sys.exit(wrong)
PYTHON
}

mkdir -p "$out/fetched"
machine=
trap '[ -z "$machine" ] || kill "$machine" 2>/dev/null || true' EXIT
# Uses KVM only if the processor has vmx or svm. Without these, as in some virtual machines,
# /dev/kvm boots only kernels that were built for that hypervisor.
accelerator=tcg
if [ -w /dev/kvm ] && grep -qwE 'vmx|svm' /proc/cpuinfo; then accelerator=kvm; fi
for name in "${architectures[@]}"; do
  fetch_shell "$name" || unavailable "cannot download busybox-static for $name"
done
before=$SECONDS
for name in "${architectures[@]}"; do build_programs "$name"; done
echo "kernels: built in $((SECONDS - before)) s; booting with $accelerator"
absent=() red=()
for kernel in "${kernels[@]}"; do
  if ! fetch_kernel "$kernel"; then
    if [ ! -e "$out/fetched/$kernel/version" ]; then
      absent+=("$kernel")
      continue
    fi
    echo "kernels: cannot download $kernel; using the copy in $out/fetched" >&2
  fi
  judge "$kernel" "$@" || red+=("$kernel")
done
if [ "${#red[@]}" -gt 0 ]; then
  echo "kernels: red: ${red[*]}" >&2
  exit 1
fi
if [ "${#absent[@]}" -gt 0 ]; then
  unavailable "cannot download the kernel ${absent[*]}"
fi
