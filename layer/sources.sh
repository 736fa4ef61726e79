#!/bin/sh
# usage: layer/sources.sh FOLDER|--newest [PINNED]
# Puts the source packages that PINNED names (requirements/sources.txt) into FOLDER, unpacked and patched as Debian
# patches them, with a sources.txt of what they are. --newest prints PINNED with what Debian has today; `make sources`
# writes it.
# apt checks Debian's signature, and this script the checksum. Its lists are its own: the machine's apt is left alone.
set -eu
unset CDPATH
cd "$(dirname "$0")/.."
pinned=${2:-requirements/sources.txt}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

fail() {
    echo "sources.sh: $*" >&2
    exit 1
}

command -v apt-get >/dev/null || fail "apt-get is missing; it fetches Debian's sources and checks their signature"
[ -e "$keyring" ] || fail "$keyring is missing; apt-get install debian-archive-keyring"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/packages"
for suite in "debian trixie" "debian-security trixie-security"; do
    printf 'Types: deb-src\nURIs: http://deb.debian.org/%s\nSuites: %s\nComponents: main\nSigned-By: %s\n\n' \
        "${suite% *}" "${suite#* }" "$keyring"
done >"$work/debian.sources"

apt() {
    tool=$1 && shift
    "$tool" -q -o Dir::Etc::sourcelist="$work/debian.sources" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache" -o APT::Sandbox::User="$(id -un)" \
        -o APT::Update::Error-Mode=any -o Acquire::Retries=2 -o Acquire::http::Timeout=30 "$@"
}

download() { # NAME VERSION: its files into the working folder; says nothing where they are not there
    (cd "$work/packages" && apt apt-get source --download-only --only-source "$1=$2" >"$work/log" 2>&1)
}

dsc() { # NAME VERSION: the file that lists the others; an epoch is no part of its name
    echo "$work/packages/$1_$(echo "$2" | sed 's/^[0-9]*://').dsc"
}

versions() { # NAME: all that Debian has, the newest first
    apt apt-cache showsrc --only-source "$1" | sed -n 's/^Version: //p' | sort -Vru
}

newest() { # NAME: the newest version whose files are all there
    for version in $(versions "$1"); do
        if download "$1" "$version"; then
            echo "$version" && return
        fi
    done
    fail "Debian has no $1 that can be downloaded: $(tail -n 2 "$work/log")"
}

checked() { # NAME VERSION SHA256: fails unless every file is what it was when it was pinned
    echo "$3  $(dsc "$1" "$2")" | sha256sum --check --status ||
        fail "$(dsc "$1" "$2" | sed 's:.*/::') is not what $pinned says: its sha256 is not $3"
    sed -n '/^Checksums-Sha256:/,/^[^ ]/s/^ \([0-9a-f]*\) [0-9]* \(.*\)/\1  \2/p' "$(dsc "$1" "$2")" >"$work/sums"
    (cd "$work/packages" && sha256sum --check --status "$work/sums") || fail "a file of $1 $2 is not what its .dsc says"
}

unpack() { # NAME: its sources into $out/NAME, with Debian's copyright file
    mkdir -p "$out/$1"
    tar -xf "$(echo "$work/packages/$1"_*.orig.tar.[gx]z)" --strip-components 1 -C "$out/$1"
    tar -xf "$(echo "$work/packages/$1"_*.debian.tar.xz)" -C "$out/$1"
    # *.patch are upstream's own mends of what is in a release; what Debian changes for itself is called *.diff
    # shellcheck disable=SC2013 # names of patches are single words
    for patch in $(sed -n 's/^\([^# ]*\.patch\).*/\1/p' "$out/$1/debian/patches/series" 2>/dev/null); do
        patch --quiet --strip 1 --force --directory "$out/$1" <"$out/$1/debian/patches/$patch" >"$work/log" ||
            fail "$patch of $1 does not apply: $(tail -n 2 "$work/log")"
    done
}

apt apt-get update >"$work/log" 2>&1 || fail "cannot read Debian's archive: $(grep '^[EW]' "$work/log" | head -n 2)"

if [ "$1" = --newest ]; then
    grep '^#' "$pinned"
    grep -v '^#' "$pinned" | while read -r name _; do
        version=$(newest "$name")
        echo "$name $version $(sha256sum "$(dsc "$name" "$version")" | cut -d ' ' -f 1)"
    done
    exit
fi

out=$1
mkdir -p "$out"
grep -v '^#' "$pinned" | while read -r name version sum; do
    if download "$name" "$version"; then
        checked "$name" "$version" "$sum"
    else
        old=$version version=$(newest "$name")
        sum=$(sha256sum "$(dsc "$name" "$version")" | cut -d ' ' -f 1)
        echo "sources.sh: Debian has withdrawn $name $old, so this build takes $version; \`make sources\` pins it" >&2
        checked "$name" "$version" "$sum"
    fi
    unpack "$name"
    echo "$name $version $sum" >>"$out/sources.txt"
done
