#!/usr/bin/env sh
# Sees to it that a Chromium is there for the browser tests: Debian's package, where none is installed.
set -eu
for name in chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null 2>&1; then
        exit 0
    fi
done
if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" != 0 ]; then
    echo "the browser tests need Chromium: install it (on Debian: sudo apt-get install chromium), or set CHROMIUM" >&2
    [ -z "${CI:-}" ]
    exit
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null
