#!/bin/sh
# usage: layer/bullseye.sh FOLDER
# Makes a Debian 11 root (glibc 2.31) with a CPython compiled in it, for `build.sh --root`: what is frozen in there loads
# on Lambda. Needs root, debootstrap and some three minutes; what is done already is not done again.
set -eu
root=${1:?usage: layer/bullseye.sh FOLDER}
python=3.13

fail() {
    echo "bullseye.sh: $*" >&2
    exit 1
}

[ "$(id -u)" = 0 ] || fail "needs root, for debootstrap and chroot"
command -v debootstrap >/dev/null || fail "debootstrap is missing; apt-get install debootstrap"
mkdir -p "$root"
root=$(cd "$root" && pwd)

if [ ! -e "$root/.bootstrapped" ]; then
    debootstrap --variant=minbase bullseye "$root" >"$root.log" 2>&1 || fail "debootstrap failed, see $root.log"
    touch "$root/.bootstrapped"
fi

[ -e "$root/.python" ] && exit
cp /etc/resolv.conf "$root/etc/resolv.conf"
# CPython's source is trixie's package: of the same archive as all else in here, and signed.
cp /usr/share/keyrings/debian-archive-keyring.gpg "$root/etc/apt/trusted.gpg.d/"
mirror=$(sed -n 's/^deb \([^ ]*\) bullseye.*/\1/p' "$root/etc/apt/sources.list" | head -1)
echo "deb-src $mirror trixie main" >"$root/etc/apt/sources.list.d/trixie.list"
chroot "$root" /bin/sh -eu >"$root.log" 2>&1 <<END || fail "compiling CPython failed, see $root.log"
export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install -y --no-install-recommends \
    ca-certificates dpkg-dev gcc libc6-dev make pkg-config xz-utils libffi-dev libssl-dev zlib1g-dev
rm -rf /usr/src/python && mkdir -p /usr/src/python && cd /usr/src/python
apt-get source --download-only --only-source python$python
tar -xf python$python*.orig.tar.xz --strip-components 1  # as released, without Debian's patches
# -fno-semantic-interposition: calls inside libpython need not go through its PLT, a tenth of its time.
./configure --enable-shared --disable-test-modules --with-ensurepip=install \
    OPT="-O2 -DNDEBUG -fwrapv -fno-semantic-interposition"
make -j"\$(nproc)"
make install
ldconfig
/usr/local/bin/python3 -c 'import ssl, zlib, ctypes, pyexpat'
rm -rf /usr/src/python
END
touch "$root/.python"
echo "bullseye.sh: $("$(command -v chroot)" "$root" /usr/local/bin/python3 --version) in $root"
