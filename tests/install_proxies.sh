#!/usr/bin/env bash
# Makes sure that the tests behind proxies have nginx and Caddy: finds them, or installs Debian's where that is possible.
# Elsewhere these tests are skipped, and say so.
set -u
missing=""
command -v nginx >/dev/null 2>&1 || [ -x /usr/sbin/nginx ] || missing="nginx-light"
command -v caddy >/dev/null 2>&1 || missing="$missing caddy"
[ -z "$missing" ] && exit 0
if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
  echo "Installing$([ -n "$missing" ] && echo " $missing") for the tests behind proxies ..."
  # The tests start servers of their own: those of the packages must not start.
  policy=/usr/sbin/policy-rc.d
  own=""
  [ -e "$policy" ] || { own=1; printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy"; }
  # shellcheck disable=SC2086
  (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing) >/dev/null 2>&1 || echo "Not all could be installed: the tests behind what is missing will be skipped."
  [ -z "$own" ] || rm -f "$policy"
else
  echo "No$([ -n "$missing" ] && echo " $missing") found: the tests behind them will be skipped. Install them with your system's package manager to run them."
fi
