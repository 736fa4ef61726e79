#!/bin/sh
# usage: layer/freeze.sh PYTHON OUT ARCH --lambda|""
# Freezes the forwarder with PYTHON, in whatever root it is run, and writes the layer and its papers into OUT.
# build.sh runs it here, in Dockerfile.build or in a root of another distribution; it is the same each time.
set -eu
python=$1 out=$2 arch=$3 lambda=$4

fail() {
    echo "freeze.sh: $*" >&2
    exit 1
}

command -v "$python" >/dev/null || fail "there is no $python; set PYTHON to a Python of 3.11 or later"
for tool in strip objdump ldd; do
    command -v "$tool" >/dev/null || fail "$tool is missing; install binutils and libc-bin"
done
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "$python is older than 3.11"
"$python" -c 'import sys, sysconfig; sys.exit(not sysconfig.get_config_var("Py_ENABLE_SHARED"))' ||
    fail "$python was built without --enable-shared: PyInstaller needs a shared libpython"

# An environment of its own: what happens to be installed elsewhere must not find its way into the bundle.
venv=.work/build-venv
if ! cmp -s requirements/build.txt "$venv/installed" || [ "$(readlink -f "$venv/bin/python")" != "$(readlink -f \
    "$("$python" -c 'import sys; print(sys.executable)')")" ]; then
    rm -rf "$venv"
    "$python" -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r requirements/build.txt
    cp requirements/build.txt "$venv/installed"
fi

# The same bytes each time: hashes order sets in compiled code, and PyInstaller stamps the time of the build.
export PYTHONHASHSEED=0 SOURCE_DATE_EPOCH=315532800
"$venv/bin/python" -m PyInstaller --noconfirm --clean --log-level ERROR \
    --distpath .work/dist --workpath .work/build layer/forwarder.spec
"$venv/bin/python" -m layer .work/dist/telemetry-forwarder "$out" "$arch" "$lambda"
