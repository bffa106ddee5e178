#!/usr/bin/env bash
# Makes sure that the browser tests have a Chromium: finds one, or installs Debian's where that is possible.
# Elsewhere the browser tests are skipped, and say so.
set -u
for name in chromium chromium-browser google-chrome; do
  if command -v "$name" >/dev/null 2>&1; then exit 0; fi
done
if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
  echo "Installing Chromium for the browser tests ..."
  (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium) >/dev/null || echo "Chromium could not be installed: the browser tests will be skipped."
else
  echo "No Chromium found: the browser tests will be skipped. Install it with your system's package manager to run them."
fi
