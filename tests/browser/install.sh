#!/usr/bin/env bash
# Installs Debian's Chromium for the tests of this folder, where it is missing and we may. Says so and fails otherwise.
set -euo pipefail

if command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null; then
    exit 0
fi
if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
    echo "chromium is missing; only root on Debian can have it installed here" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 # no service is started
apt-get update -qq
apt-get install -y -qq --no-install-recommends chromium >/dev/null
command -v chromium
