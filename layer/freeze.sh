#!/bin/sh
# usage: layer/freeze.sh PYTHON OUT ARCH [TOOLCHAIN RE2]
# Freezes the forwarder with PYTHON and writes the layer, its SBOM, licences and audit into OUT. With TOOLCHAIN and RE2,
# folders made by layer/toolchain.sh and layer/re2.sh for ARCH, all that is compiled comes from there and from wheels for
# ARCH; PYTHON, which analyses what is needed, is the same CPython for this machine. Without, the layer is of this
# machine's libraries.
set -eu
python=$1 out=$2 arch=$3 toolchain=${4:-} re2=${5:-}

fail() {
    echo "freeze.sh: $*" >&2
    exit 1
}

install() { # FOLDER VERSION COMMAND...: what the command puts into the folder, unless that was done for this version
    folder=$1 version=$2 && shift 2
    [ "$(cat "$folder/installed" 2>/dev/null)" != "$version" ] || return 0
    rm -rf "$folder"
    "$@" || fail "cannot install into $folder; is the package registry in reach?"
    echo "$version" >"$folder/installed"
}

install_tools() {
    "$python" -m venv "$venv" &&
        "$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r requirements/build.txt
}

# Wheels that ask for no newer glibc than the toolchain: of several, pip would take the one for the newest.
install_site() {
    "$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: \
        --no-compile --platform "manylinux_2_17_$cpu" --platform "manylinux2014_$cpu" --target "$site" \
        -r requirements/layer.txt
}

command -v "$python" >/dev/null || fail "there is no $python; set PYTHON to a Python of 3.11 or later"
for tool in strip objcopy objdump ldd; do
    command -v "$tool" >/dev/null || fail "$tool is missing; install binutils and libc-bin"
done
"$python" -c pass || fail "$python does not start"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "$python is older than 3.11"
"$python" -c 'import sys, sysconfig; sys.exit(not sysconfig.get_config_var("Py_ENABLE_SHARED"))' ||
    fail "$python was built without --enable-shared: PyInstaller needs a shared libpython"

# An environment of its own: what happens to be installed elsewhere must not find its way into the bundle.
venv=.work/build-venv${toolchain:+-lambda}
install "$venv" "$("$python" -c 'import sys; print(sys.executable)') $(sha256sum <requirements/build.txt)" install_tools

work=.work/build-$arch${toolchain:+-lambda}
mkdir -p "$work"
if [ -n "$toolchain" ]; then
    cpu=$(echo "$arch" | sed s/arm64/aarch64/)
    site=.work/site-$arch
    install "$site" "$("$python" --version) $(sha256sum <requirements/layer.txt)" install_site
    export TOOLCHAIN="$toolchain" SITES="$re2:$PWD/$site" CPU="$cpu"
    if [ "$cpu" != "$(uname -m)" ]; then
        # PyInstaller calls them by their plain names; this machine's own don't read the other architecture's files
        cross=$(echo "$cpu" | tr _ -)-linux-gnu
        layer/tools.sh "$cpu-linux-gnu-strip:binutils-$cross" "$cpu-linux-gnu-objcopy:binutils-$cross"
        mkdir -p "$work/bin"
        for tool in strip objcopy; do
            ln -sf "$(command -v "$cpu-linux-gnu-$tool")" "$work/bin/$tool"
        done
        PATH=$PWD/$work/bin:$PATH
    fi
fi

# Compiled code keeps its lines and not its columns, which only tracebacks show. The same bytes each time: hashes order
# sets in compiled code, and PyInstaller stamps the time of the build.
export PYTHONNODEBUGRANGES=1 PYTHONHASHSEED=0 SOURCE_DATE_EPOCH=315532800 PYINSTALLER_CONFIG_DIR="$PWD/$work/cache"
"$venv/bin/python" -m PyInstaller --noconfirm --clean --log-level ERROR \
    --distpath "$work/dist" --workpath "$work" layer/forwarder.spec
"$venv/bin/python" -m layer "$work/dist/telemetry-forwarder" "$out" "$arch" "$toolchain" "$re2"
