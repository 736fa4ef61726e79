#!/bin/sh
# usage: layer/sam/unpack.sh ARCH FOLDER
# What `sam build` puts into FOLDER as the layer for ARCH: the zip for Lambda in dist/, unzipped. Where there is none, it is
# built, but only for the architecture that the variable ARCH names, x86_64 if it names none: a build takes minutes. The
# other's folder stays empty; its layer is not deployed, and if it were, Lambda takes no empty one.
set -eu
unset CDPATH
arch=$1 folder=$2
cd "$(dirname "$0")/../.."
zip=dist/telemetry-forwarder-$arch.zip
if [ ! -e "$zip" ] && [ "${ARCH:-x86_64}" != "$arch" ]; then
    echo "unpack.sh: no layer for $arch; for one, ARCH=$arch sam build, or $zip of a release" >&2
    exit
fi
layer/tools.sh unzip:unzip
[ -e "$zip" ] || ./build.sh --lambda --arch "$arch"
(cd dist && sha256sum --check --quiet "${zip##*/}.sha256")
unzip -q -o "$zip" -d "$folder"
