# shellcheck shell=sh disable=SC2154 # cache is whoever reads this one's
# What all have in common that compile something: it is done once and kept in folders of $cache, each under a name that
# changes with what it is made of.

fail() {
    echo "${0##*/}: $*" >&2
    exit 1
}

named() { # NAME: a folder in the cache whose name changes with what is read from stdin
    echo "$cache/$1-$(sha256sum | cut -c 1-12)"
}

manifest() { # FOLDER: every file with its mode and checksum, every link with what it points to
    (cd "$1" && find . ! -path ./MANIFEST ! -type d -printf '%p %m %l\n' | LC_ALL=C sort &&
        find . ! -path ./MANIFEST -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum)
}

whole() { # FOLDER: whether it is there and all in it is what it was when the folder was made
    [ -d "$1" ] || return
    manifest "$1" 2>/dev/null | cmp -s - "$1/MANIFEST" && return
    echo "${0##*/}: $1 is damaged, so it is made anew" >&2
    rm -rf "$1"
    return 1
}

keep() { # FOLDER FINAL: under its name only when it is whole, so that nothing half-made ever has that name
    manifest "$1" >"$work/manifest" || fail "cannot write $2"
    mv "$work/manifest" "$1/MANIFEST" || fail "cannot write $2"
    mv -T "$1" "$2" 2>/dev/null || whole "$2" || fail "cannot write $2" # another build may have been first
}

logged() { # WHAT COMMAND...: its output only if it fails
    what=$1 && shift
    "$@" >"$work/log" 2>&1 && return
    cp "$work/log" "$cache/failed.log" 2>/dev/null || :
    tail -n 20 "$work/log" >&2
    fail "$what failed; the end of its output is above, all of it in $cache/failed.log"
}

start_making() { # WHAT MEGABYTES: a new folder $work, which goes when the script ends
    available=$(df -Pk "$cache" | awk 'NR == 2 {print int($4 / 1024)}')
    [ "$available" -ge "$2" ] || fail "$cache has $available MB left; compiling $1 needs $2"
    find "$cache" -maxdepth 1 -name 'making.*' -mmin +240 -exec rm -rf {} + # of runs that were killed
    work=$(mktemp -d "$cache/making.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    trap 'exit 1' INT TERM HUP
}

install_zig() { # into the cache, as $zig
    zig=$(named zig <requirements/toolchain.txt)
    whole "$zig" && return
    echo "${0##*/}: installing zig" >&2
    python=${PYTHON:-python3}
    logged "$python -m venv (Debian has it in python3-venv; PYTHON chooses another)" "$python" -m venv "$work/zig"
    logged "installing requirements/toolchain.txt" "$work/zig/bin/python" -m pip install --no-compile \
        --disable-pip-version-check --require-hashes -r requirements/toolchain.txt
    keep "$work/zig" "$zig"
}
