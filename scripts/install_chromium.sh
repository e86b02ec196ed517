#!/usr/bin/env bash
# A browser for the tests of the report: Debian's Chromium without a window, about a minute and 100 MB.
# Where it cannot be installed one loud line, and the tests that need it are skipped by name.
set -uo pipefail
skip() {
  echo "=== NO BROWSER: $1. The tests that need one are skipped by name. ===" >&2
  exit 0
}
for name in chromium-headless-shell chromium chromium-browser google-chrome; do
  if command -v "$name" >/dev/null; then exit 0; fi
done
command -v apt-get >/dev/null || skip "this system has no apt-get"
[ "$(id -u)" = 0 ] || skip "only root installs packages"
apt-get update -qq >/dev/null 2>&1 || skip "the package lists cannot be read"
DEBIAN_FRONTEND=noninteractive timeout 180 apt-get install -y -qq --no-install-recommends chromium-headless-shell fonts-dejavu-core \
  >/dev/null 2>&1 || skip "Chromium cannot be installed"
