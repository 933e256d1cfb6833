#!/bin/sh
# Makes a machine ready to build and boot the kernel: installs what is missing, and only that.
# Run it as often as you like; where nothing is missing it does nothing, in a moment.
#
#   sh boot/setup.sh            what building, booting and testing need
#   sh boot/setup.sh --tests    also that without which some tests are skipped (some 600 MB)
#
# Where the active Rust toolchain has neither the target x86_64-unknown-none nor the standard
# library's sources (`rust-src`), Debian's second toolchain is installed beside it, below /usr:
# `cargo boot` finds it there; your own cargo stays the active one.
# It installs packages of the distribution only, without recommended extras, never removes one, and
# never asks rustup to install anything. One it may take to an older version: a qemu-utils from
# another release (backports, say), beside which this release's QEMU cannot be installed.
set -eu

target=x86_64-unknown-none
oldest_minor=95 # rust-version in Cargo.toml: 1.95

say() {
    printf 'setup: %s\n' "$*"
}

fail() {
    printf 'setup: %s\n' "$@" >&2
    exit 1
}

# Whether a compiler is recent enough, and has the target or can build it.
builds_the_guest() {
    version=$("$1" --version 2>/dev/null) || return 1
    minor=${version#rustc 1.}
    minor=${minor%%.*}
    [ "$minor" -ge "$oldest_minor" ] 2>/dev/null || return 1
    # Two lines: the toolchain's home, and where it keeps (or would keep) the target's libraries.
    homes=$("$1" --print=sysroot --print=target-libdir --target "$target" 2>/dev/null) || return 1
    sysroot=$(printf '%s\n' "$homes" | sed -n 1p)
    libraries=$(printf '%s\n' "$homes" | sed -n 2p)
    [ -f "$sysroot/lib/rustlib/src/rust/library/core/Cargo.toml" ] && return 0
    for core in "$libraries"/libcore-*.rlib; do
        [ -e "$core" ] && return 0
    done
    return 1
}

have() {
    command -v "$1" >/dev/null
}

have_second_toolchain() {
    [ -x /usr/bin/cargo ] && builds_the_guest /usr/bin/rustc
}

have_all() {
    have qemu-system-x86_64 && have gcc && { builds_the_guest rustc || have_second_toolchain; }
}

# Runs a command as root.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif have sudo; then
        sudo "$@"
    else
        fail "this needs root, and there is no sudo. As root, run:" "  $*"
    fi
}

apt() {
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -q -y -o DPkg::Lock::Timeout=300 "$@"
}

# Whether every package is in apt's lists.
known_to_apt() {
    for package; do
        case $(apt-cache policy "$package") in
            '' | *'Candidate: (none)'*) return 1 ;;
        esac
    done
}

# The qemu-utils of this system's release, as apt wants it named, if another version is installed
# that QEMU's packages do not go with (Breaks: qemu-system-common, in Debian 13 and 12's backports).
misfit_qemu_utils() {
    installed=$(dpkg-query -W -f='${Version}' qemu-utils 2>/dev/null) || return 0
    fitting=$(apt-cache policy qemu-system-x86 | sed -n 's/^ *Candidate: //p')
    if [ -n "$installed" ] && dpkg --compare-versions "$installed" gt "$fitting"; then
        printf 'qemu-utils=%s' "$fitting"
    fi
}

# Installs packages. Lists that are missing or outdated are renewed first, or after a failure.
install() {
    if known_to_apt "$@" && apt install --no-install-recommends --no-remove "$@"; then
        return
    fi
    apt update
    known_to_apt "$@" || return 1
    apt install --no-install-recommends --no-remove "$@" && return
    case " $* " in *' qemu-system-x86 '*) utils=$(misfit_qemu_utils) ;; *) utils= ;; esac
    [ -n "$utils" ] || return 1
    say "an installed qemu-utils of another release is in QEMU's way: taking $utils instead."
    apt install --no-install-recommends --no-remove --allow-downgrades "$@" "$utils"
}

how_to_do_it_by_hand() {
    fail "install it by hand: QEMU for x86-64 (called qemu-system-x86 on Debian, Ubuntu and Arch,
  qemu-system-x86-core on Fedora, qemu-system-x86_64 on Alpine, qemu in Homebrew), a C compiler
  (gcc), or the Rust target $target. With rustup: rustup target add $target
  Otherwise the sources of the standard library (rust-src) for your rustc 1.$oldest_minor or later."
}

for_tests=no
case "${1-}" in
'') ;;
--tests) for_tests=yes ;;
*) fail "usage: sh boot/setup.sh [--tests]" ;;
esac

# rust-toolchain.toml decides which toolchain is the active one.
cd "$(dirname "$0")/.."

missing=
# Packages, and what they are for.
need() {
    say "$2"
    missing="${missing:+$missing }$1"
}

have qemu-system-x86_64 || need qemu-system-x86 "QEMU is missing: it boots the kernel."
have gcc || need "gcc libc6-dev" "gcc is missing: rustc links with it."
if [ "$for_tests" = yes ]; then
    for compiler in g++ clang; do
        have "$compiler" || need "$compiler" "$compiler is missing: the C interface is tested with it."
    done
    have grub-mkrescue && have xorriso && [ -d /usr/lib/grub/i386-pc ] ||
        need "grub-common grub-pc-bin xorriso" "GRUB is missing: a kernel that is not ours boots by it."
    { [ -e /usr/share/OVMF/OVMF_CODE_4M.fd ] || [ -e /usr/share/OVMF/OVMF_CODE.fd ]; } &&
        [ -d /usr/lib/grub/x86_64-efi ] && have mformat ||
        need "ovmf grub-common grub-efi-amd64-bin mtools" "OVMF or GRUB for UEFI is missing: the kernel boots by them as on a PC."
    have valgrind || need valgrind "valgrind is missing: it counts the instructions of the fast paths."
fi
if ! builds_the_guest rustc; then
    if ! have_second_toolchain; then
        need "rustc-web cargo-web rust-web-src rust-web-clippy" \
            "no toolchain here builds for $target: Debian's second one does."
    elif [ ! -x /usr/bin/cargo-clippy ] && have apt-get; then
        need rust-web-clippy "the toolchain below /usr has no clippy: \`cargo boot check\` needs it."
    fi
fi
if [ -z "$missing" ]; then
    say "QEMU, gcc and a toolchain for $target are there; nothing to do."
    exit 0
fi

have apt-get || how_to_do_it_by_hand
say "installing: $missing"
# Split on purpose: it is a list of package names.
# shellcheck disable=SC2086
install $missing || {
    say "the packages could not be installed from this system's sources."
    how_to_do_it_by_hand
}
have_all || how_to_do_it_by_hand
say "done: QEMU, gcc and a toolchain for $target are there."
