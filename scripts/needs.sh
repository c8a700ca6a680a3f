#!/bin/sh
# Makes sure that the build has what cargo can not bring: a C++ compiler, and libclang with its
# headers for RocksDB's bindings. Installs them with apt-get where it may, else says what to install.
set -eu

if ! command -v cargo >/dev/null 2>&1; then
    echo "needs: cargo is missing; install Rust 1.95 or later from https://rustup.rs" >&2
    exit 1
fi

has_libclang() {
    [ -n "${LIBCLANG_PATH:-}" ] && return 0
    ls /usr/lib/llvm-*/lib/libclang*.so* /usr/lib/*/libclang*.so* /usr/lib64/libclang*.so* \
        /usr/lib/llvm-*/lib/clang/*/include/stdbool.h 2>/dev/null | grep -q 'libclang.*so' &&
        ls /usr/lib/llvm-*/lib/clang/*/include/stdbool.h /usr/lib/clang/*/include/stdbool.h \
            /usr/lib64/clang/*/include/stdbool.h 2>/dev/null | grep -q .
}

packages=
command -v c++ >/dev/null 2>&1 && command -v cc >/dev/null 2>&1 || packages="$packages g++"
has_libclang || packages="$packages libclang-dev"
[ -n "$packages" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "needs: install a C++ compiler and libclang with its headers (Debian:$packages)" >&2
    exit 1
fi
if [ "$(id -u)" = 0 ]; then
    sudo=
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    sudo="sudo -n"
else
    echo "needs: run 'apt-get install$packages' as root, then try again" >&2
    exit 1
fi
echo "needs: installing$packages"
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq
# shellcheck disable=SC2086 # a list of words
$sudo apt-get install -y -qq --no-install-recommends $packages
