#!/bin/sh
# usage: layer/compile.sh PART
# Compiles one part of the toolchain; layer/toolchain.sh calls it, in this order, with what it needs in the environment:
# arch and cpu (as Lambda and as compilers call the architecture), zig (an environment with ziglang), work (a folder
# with src/ and out/) and, where the other architecture is compiled for, build_python: the same CPython for this one.
set -eu
: "${arch:?}" "${cpu:?}" "${zig:?}" "${work:?}" "${build_python?}"
unset CDPATH
root=$(cd "$(dirname "$0")/.." && pwd)
jobs=$(nproc)
export PATH="$work/bin:$PATH" CC=zig-cc AR=zig-ar RANLIB=zig-ranlib SOURCE_DATE_EPOCH=315532800
export ZIG_GLOBAL_CACHE_DIR="$work/zig-cache" ZIG_LOCAL_CACHE_DIR="$work/zig-cache"

# Compilers under names without a path, because configure scripts write down what they are called with. Where a program
# is not optimised, as those that configure compiles, zig lets undefined behaviour trap: then it would find out that
# words must be aligned, which neither processor asks for.
build_compilers() {
    mkdir -p "$work/bin"
    program=$(echo "$zig"/lib/python3*/site-packages/ziglang/zig)
    printf '#!/bin/sh\nexec "%s" "$@"\n' "$program" >"$work/bin/zig"
    printf '#!/bin/sh\nexec zig cc -target %s -g0 -fno-sanitize=undefined "$@"\n' "$cpu-linux-gnu.2.17" >"$work/bin/zig-cc"
    printf '#!/bin/sh\nexec zig ar "$@"\n' >"$work/bin/zig-ar"
    printf '#!/bin/sh\nexec zig ranlib "$@"\n' >"$work/bin/zig-ranlib"
    chmod +x "$work"/bin/*
}

build_zlib() {
    cd "$work/src/zlib"
    CFLAGS="-O3 -fPIC" ./configure --static
    make -j"$jobs" libz.a
    cp libz.a ../deps/lib
    cp zlib.h zconf.h ../deps/include
}

# By hand: its configure script would have to be made by autoconf, automake and libtool. PyInstaller imports ctypes, so
# it is needed where the freezing is done, and does not come into the layer.
build_libffi() {
    cd "$work/src/libffi"
    case $arch in
    x86_64) target=X86_64 folder=src/x86 files="ffi64.c ffiw64.c unix64.S win64.S" ;;
    arm64) target=AARCH64 folder=src/aarch64 files="ffi.c sysv.S" ;;
    esac
    sed -e "s/@TARGET@/$target/; s/@HAVE_LONG_DOUBLE@/1/; s/@FFI_EXEC_TRAMPOLINE_TABLE@/0/" include/ffi.h.in \
        >../deps/include/ffi.h
    cp "$folder"/ffitarget.h ../deps/include
    for macro in HAVE_ALLOCA_H HAVE_AS_CFI_PSEUDO_OP HAVE_AS_X86_PCREL HAVE_AS_X86_64_UNWIND_SECTION_TYPE HAVE_MEMCPY \
        HAVE_HIDDEN_VISIBILITY_ATTRIBUTE HAVE_LONG_DOUBLE STDC_HEADERS; do
        echo "#define $macro 1"
    done >fficonfig.h
    printf '#define %s\n' 'EH_FRAME_FLAGS "a"' 'SIZEOF_DOUBLE 8' 'SIZEOF_LONG_DOUBLE 16' 'SIZEOF_SIZE_T 8' >>fficonfig.h
    printf '#ifdef LIBFFI_ASM\n#define FFI_HIDDEN(name) .hidden name\n#else\n%s\n#endif\n' \
        '#define FFI_HIDDEN __attribute__((visibility("hidden")))' >>fficonfig.h
    for file in prep_cif.c types.c raw_api.c java_raw_api.c closures.c tramp.c; do set -- "$@" "src/$file"; done
    for file in $files; do set -- "$@" "$folder/$file"; done
    zig-cc -c -O2 -fPIC -w -I. -Iinclude -I../deps/include "$@"
    zig-ar rcs ../deps/lib/libffi.a ./*.o
}

# Without what neither TLS to a server nor hashlib asks for: it would be a third of the library.
build_openssl() {
    cd "$work/src/openssl"
    ./Configure "linux-$cpu" shared --prefix=/usr --openssldir=/etc/ssl \
        no-apps no-docs no-tests no-engine no-legacy no-module no-comp no-quic no-dtls no-srtp no-srp no-cmp no-cms \
        no-ts no-aria no-bf no-camellia no-cast no-idea no-mdc2 no-rc2 no-rc4 no-seed no-sm2 no-sm3 no-sm4 no-whirlpool \
        no-gost no-slh-dsa no-ssl-trace "-Wl,-rpath,\\\$\$ORIGIN" -Wno-unused-command-line-argument
    make build_generated
    make -j"$jobs" libcrypto.so libssl.so
    cp -P libcrypto.so* libssl.so* ../deps/lib
    cp -R include/openssl ../deps/include
}

# What every start loads is in libpython itself: finding and linking a file for each costs a third of a millisecond.
write_builtin_modules() {
    cat >Modules/Setup.local <<'END'
*static*
_asyncio _asynciomodule.c
_bisect _bisectmodule.c
_contextvars _contextvarsmodule.c
_datetime _datetimemodule.c
_heapq _heapqmodule.c
_json _json.c
_opcode _opcode.c
_posixsubprocess _posixsubprocess.c
_queue _queuemodule.c
_random _randommodule.c
_socket socketmodule.c
_struct _struct.c
array arraymodule.c
binascii binascii.c
fcntl fcntlmodule.c
math mathmodule.c
select selectmodule.c
zlib zlibmodule.c $(MODULE_ZLIB_CFLAGS) $(MODULE_ZLIB_LDFLAGS)
END
}

build_python() {
    cd "$work/src/python3.13"
    write_builtin_modules
    sed -i 's/-Wl,-h/-Wl,-soname,/' Makefile.pre.in # zig does not know the short form
    cross=
    [ -z "$build_python" ] || cross="--build=$(uname -m)-linux-gnu --host=$cpu-linux-gnu
        --with-build-python=$build_python/bin/python3.13 ac_cv_file__dev_ptmx=yes ac_cv_file__dev_ptc=no
        ac_cv_buggy_getaddrinfo=no ac_cv_working_tzset=yes ac_cv_broken_sem_getvalue=no
        ac_cv_pthread_system_supported=yes" # what configure would find out by running a program
    # Its own test of _ssl must find OpenSSL before it is where it will be.
    [ -n "$build_python" ] || export LD_LIBRARY_PATH="$work/src/deps/lib"
    # Relative paths, because they are written down in what is built. pkg-config would find the host's libraries.
    # shellcheck disable=SC2086 # several words
    PKG_CONFIG_LIBDIR=/nonexistent ./configure $cross --prefix=/python --enable-shared --without-static-libpython \
        --disable-test-modules --with-ensurepip=no --with-computed-gotos=yes --with-openssl=../deps \
        ZLIB_CFLAGS=-I../deps/include ZLIB_LIBS=../deps/lib/libz.a \
        LIBFFI_CFLAGS=-I../deps/include LIBFFI_LIBS=../deps/lib/libffi.a \
        OPT="-O3 -DNDEBUG -fwrapv -fno-semantic-interposition -Wno-date-time" \
        LDFLAGS="-Wl,-rpath,\\\$\$ORIGIN/../lib:\\\$\$ORIGIN/../.."
    # CPython keeps the thread's state in eight bytes of thread-local storage, which any library may have in the static
    # block (ELF Handling For Thread-Local Storage, 4.3); to look them up by a call cost 2.5 % of each record.
    set -- PY3LIBRARY= CFLAGS="-flto=thin -ftls-model=initial-exec" LDFLAGS="-O3 -flto=thin"
    if [ -z "$build_python" ]; then
        # What only freezes modules meanwhile is not worth two of the longest links: without LTO it takes a third.
        make -j"$jobs" OPT="-O1 -DNDEBUG -fwrapv -Wno-date-time" Programs/_freeze_module _bootstrap_python
        find . -name '*.[oa]' -delete
        set -- "$@" --assume-old=Programs/_freeze_module --assume-old=_bootstrap_python
    fi
    make -j"$jobs" "$@"
    make install "$@" DESTDIR="$work/out" COMPILEALL_OPTS="-x ."
    cp -P ../deps/lib/lib*.so* "$work/out/python/lib"
}

# Not PyInstaller's own, which needs the host's libz.so.1: without one, or with a bad one, every invocation would fail.
build_bootloader() {
    cd "$work/src"
    # To tell pip its name, PyInstaller compiles its bootloader; unless there is one, where this variable says.
    mkdir -p named && touch named/run
    PYTHONDONTWRITEBYTECODE=1 PYI_PLATFORM="$PWD/named" "$zig/bin/python" -m pip download --disable-pip-version-check --no-deps \
        --no-build-isolation --no-binary pyinstaller --require-hashes --dest . -r pyinstaller.txt
    tar -xf pyinstaller-*.tar.gz
    zig-cc -O2 -s -w -D_REENTRANT -D_DEFAULT_SOURCE -DHAVE_BASENAME -DHAVE_DIRNAME -DHAVE_MKDTEMP -DHAVE_UNSETENV \
        -DHAVE_WCSDUP -DHAVE_STDBOOL_H \
        -Ideps/include pyinstaller-*/bootloader/src/*.c deps/lib/libz.a -ldl -lpthread -lm -o "$work/out/bootloader"
}

build_bootstrap() {
    zig cc -target "$cpu-linux-musl" -static -Os -s "$root/layer/bootstrap.c" -o "$work/out/bootstrap"
}

"build_$1"
