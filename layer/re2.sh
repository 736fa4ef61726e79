#!/bin/sh
# usage: layer/re2.sh x86_64|arm64 CACHE TOOLCHAIN
# Compiles google-re2's module with RE2, Abseil and C++'s own library in it, for the CPython in TOOLCHAIN, and prints the
# folder that it is in: re2/ as in the wheel, which needs a newer glibc than Lambda has, and libstdc++. What is in CACHE
# already is not made again, as with layer/toolchain.sh.
set -eu
unset CDPATH
cd "$(dirname "$0")/.."
arch=$1 cache=$2 toolchain=$3
. layer/cache.sh

# What RE2 needs of Abseil, as linking tells: a symbol that is missing stops it.
abseil() {
    while read -r folder files; do
        for file in $files; do echo "abseil/absl/$folder/$file.cc"; done
    done <<'END'
base/internal cycleclock low_level_alloc raw_logging spinlock spinlock_wait strerror sysinfo thread_identity
base/internal unscaledcycleclock
container/internal raw_hash_set
debugging stacktrace symbolize
debugging/internal address_is_readable decode_rust_punycode demangle demangle_rust elf_mem_image examine_stack
debugging/internal utf8_for_code_point vdso_support
hash/internal city hash low_level_hash
log globals log_sink
log/internal globals log_format log_message log_sink_set proto
numeric int128
strings ascii charconv match numbers
strings/internal charconv_bigint charconv_parse memutil
strings/internal/str_format arg bind extension float_conversion output parser
synchronization mutex
synchronization/internal create_thread_identity futex_waiter kernel_timeout per_thread_sem waiter_base
time clock duration time
time/internal/cctz/src time_zone_fixed time_zone_if time_zone_impl time_zone_info time_zone_libc time_zone_lookup
time/internal/cctz/src time_zone_posix zone_info_source
END
}

compile() { # by relative paths, because they are written down in what is built
    {
        find re2/re2 re2/python -maxdepth 1 -name '*.cc' ! -name mimics_pcre.cc
        printf 're2/util/%s.cc\n' rune strutil
        abseil
    } | LC_ALL=C sort >files
    mkdir objects
    # shellcheck disable=SC2016 # the variables are those of the shell that xargs starts
    xargs -P "$(nproc)" -I {} sh -c '"$1" c++ -target "$2" -c -std=c++17 -O2 -g0 -fPIC -DNDEBUG -w \
        -fno-sanitize=undefined -fvisibility=hidden -ffunction-sections -fdata-sections \
        -Iabseil -Ire2 -Ipybind11 -Iinclude/python3.13 "$3" -o "objects/$(echo "$3" | tr / _).o"' \
        - "$zig_program" "$target" {} <files || return
    echo '{ global: PyInit__re2; local: *; };' >exported
    "$zig_program" c++ -target "$target" -shared -s -Wl,--gc-sections -Wl,--version-script=exported objects/*.o \
        -o "$module" || return
    # What CPython has is found when it loads this; of C++ nothing may be missing, but for what is asked for if it is there.
    missing=$(readelf -W --dyn-syms "$module" | awk '$5 == "GLOBAL" && $7 == "UND" && $8 ~ /^_Z/ { print $8 }')
    [ -z "$missing" ] || { echo "not in what was compiled: $missing" && return 1; }
}

case $arch in
x86_64) cpu=x86_64 ;;
arm64) cpu=aarch64 ;;
*) fail "unknown architecture '$arch'; expected x86_64 or arm64" ;;
esac
cache=$(cd "$cache" && pwd)
version=$(sed -n 's/^re2 \([0-9.]*\).*/\1/p' requirements/re2-sources.txt)
python=$(sed -n 's/^python[0-9.]* \([0-9.]*\).*/\1/p' "$toolchain/sources.txt")
final=$({ cat requirements/re2-sources.txt requirements/re2.txt requirements/toolchain.txt layer/re2.sh &&
    echo "$python"; } | named "re2-$version-$arch")
layer/tools.sh flock:util-linux
exec 9>"$cache/re2.lock" && flock 9 # builds at the same time wait for the first one's
if ! whole "$final"; then
    layer/tools.sh readelf:binutils patch:patch xz:xz-utils sha256sum:coreutils
    start_making RE2 600
    install_zig
    echo "re2.sh: RE2 for $arch" >&2
    zig_program=$(echo "$zig"/lib/python3*/site-packages/ziglang/zig)
    target=$cpu-linux-gnu.2.17 module=$work/out/re2/_re2.cpython-313-$cpu-linux-gnu.so
    export ZIG_GLOBAL_CACHE_DIR="$work/zig-cache" ZIG_LOCAL_CACHE_DIR="$work/zig-cache" SOURCE_DATE_EPOCH=315532800
    mkdir -p "$work/out/re2" "$work/out/licences" "$work/src"
    layer/sources.sh "$work/src" requirements/re2-sources.txt
    export PYTHONDONTWRITEBYTECODE=1 # into the folder of zig
    logged "installing requirements/re2.txt" "$zig/bin/python" -m pip install --no-compile --disable-pip-version-check \
        --require-hashes --no-deps --target "$work/headers" -r requirements/re2.txt
    ln -s "$work/headers/pybind11/include" "$work/src/pybind11"
    ln -s "$toolchain/python/include" "$work/src/include"
    (cd "$work/src" && logged "compiling RE2" compile)
    for source in re2 abseil; do cp "$work/src/$source/debian/copyright" "$work/out/licences/$source"; done
    cp "$work"/headers/pybind11-*.dist-info/licenses/LICENSE "$work/out/licences/pybind11"
    cp "$(dirname "$zig_program")/lib/libcxx/LICENSE.TXT" "$work/out/licences/ziglang" # whose C++ library is LLVM's
    cp "$work/src/sources.txt" "$work/out"
    sed -n 's/^\(pybind11\|ziglang\)==\([^ ]*\).*/\1 \2/p' requirements/re2.txt requirements/toolchain.txt \
        >"$work/out/packages.txt"
    keep "$work/out" "$final"
fi
echo "$final"
