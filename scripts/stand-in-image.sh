#!/usr/bin/env bash
# Where no registry serves the Dockerfile's base image: Debian's own Python -> an image of that name.
# Usage: stand-in-image.sh NAME CACHE-FOLDER BUILDAH-ARGUMENTS... (as root; buildah, debootstrap)
set -euo pipefail
readonly name=$1 cache=$2
shift 2

buildah() { command buildah "${storage[@]}" "$@"; }
readonly storage=("$@")

if [[ ! -e $cache/root.complete ]]; then
    rm -rf "$cache/root"
    debootstrap --variant=minbase --include=python3,python3-venv,python3-pip,ca-certificates \
        bookworm "$cache/root" >"$cache/debootstrap.log"
    touch "$cache/root.complete"
fi
container=$(buildah from scratch)
root=$(buildah mount "$container")
cp -a "$cache/root/." "$root/"
ln -sf python3 "$root/usr/bin/python"
buildah umount "$container" >/dev/null
buildah commit --quiet --rm "$container" "$name" >/dev/null
