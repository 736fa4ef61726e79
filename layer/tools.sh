#!/bin/sh
# usage: layer/tools.sh TOOL:PACKAGE...
# Sees to it that these tools are there: apt installs the packages of those that are missing, where it may.
set -eu
missing=
for tool in "$@"; do
    command -v "${tool%%:*}" >/dev/null || missing="$missing ${tool#*:}"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "tools.sh: as root, apt-get install$missing" >&2
    exit 1
fi
echo "tools.sh: installing$missing" >&2
# shellcheck disable=SC2086 # several packages
{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing; } >&2
