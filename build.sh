#!/bin/sh
# Builds the layer into dist/: the zip, its sha256, the GLIBC audit, an SBOM and the licences of what it bundles.
# DIST names another folder than dist/.
set -eu
cd "$(dirname "$0")"
dist=${DIST:-dist}

usage() {
    cat <<'END'
usage: ./build.sh [--arch x86_64|arm64] [--lambda] [--native | --root FOLDER]
  --arch    what to build for; default: this machine's own
  --lambda  fail unless the layer loads on Lambda: no file in it may need a GLIBC_ above 2.34
  --native  with this machine's Python (PYTHON=python3.11 chooses another), even where there is a Docker engine
  --root    in another root file system, as made by layer/bullseye.sh (needs root; PYTHON is a path in there)
END
}

fail() {
    echo "build.sh: $*" >&2
    exit 1
}

host=$(uname -m | sed s/aarch64/arm64/)
arch=$host
where=
root=
lambda=
while [ $# -gt 0 ]; do
    case $1 in
    --arch | --root) [ $# -gt 1 ] || fail "$1 lacks its value" ;;
    esac
    case $1 in
    --arch) arch=$2 && shift ;;
    --lambda) lambda=--lambda ;;
    --native) where=native ;;
    --root) where=root root=$2 && shift ;;
    --help | -h) usage && exit ;;
    *) usage >&2 && fail "unknown option $1" ;;
    esac
    shift
done
case $arch in
x86_64 | arm64) ;;
*) fail "unknown --arch '$arch'; expected x86_64 or arm64" ;;
esac

[ ! -e "$dist" ] || [ -d "$dist" ] || fail "$dist is no folder"
for path in "$dist"/* "$dist"/.[!.]*; do
    case ${path#"$dist/"} in
    telemetry-forwarder-x86_64.* | telemetry-forwarder-arm64.* | '*' | '.[!.]*') ;;
    *) fail "$dist is dirty: $path is not of a build; move it away" ;;
    esac
done

if [ -z "$where" ]; then
    where=native
    if docker info >/dev/null 2>&1; then
        where=docker
    else
        echo "build.sh: no Docker engine, so this machine's own Python and libraries go into the layer" >&2
    fi
fi
if [ "$where" != docker ] && [ "$arch" != "$host" ]; then
    fail "--arch $arch on $host needs a Docker engine"
fi

# Everything is written here first, so that $dist never holds half a build.
mkdir -p .work
out=$(mktemp -d "$PWD/.work/out.XXXXXX")
trap 'rm -rf "$out"' EXIT

case $where in
native)
    layer/freeze.sh "${PYTHON:-python3.11}" "$out" "$arch" "$lambda"
    ;;
docker)
    docker build --platform "linux/$(echo "$arch" | sed s/x86_64/amd64/)" --file Dockerfile.build \
        --build-arg "ARCH=$arch" --build-arg "LAMBDA=$lambda" --output "type=local,dest=$out" .
    ;;
root)
    [ -x "$root/bin/sh" ] || fail "--root '$root' is no root file system; layer/bullseye.sh makes one"
    [ "$(id -u)" = 0 ] || fail "--root needs root, for chroot"
    rm -rf "$root/src" "$root/out" && mkdir -p "$root/src" "$root/out"
    # what Dockerfile.build copies, too
    cp -R bootstrap extension layer requirements LICENSE pyproject.toml "$root/src"
    # names resolve and package registries are trusted in there as they are here, behind a company's proxy, too
    cp /etc/resolv.conf "$root/etc/resolv.conf"
    cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/" 2>/dev/null || :
    chroot "$root" /bin/sh -c 'cd /src && exec layer/freeze.sh "$@"' freeze \
        "${PYTHON:-/usr/local/bin/python3}" /out "$arch" "$lambda"
    cp -R "$root/out/." "$out"
    ;;
esac

mkdir -p "$dist"
mv -f "$out"/* "$dist/"
echo "build.sh: wrote $dist/telemetry-forwarder-$arch.zip"
