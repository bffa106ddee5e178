#!/usr/bin/env bash
# Makes sure that the tests of the database have a PostgreSQL server to start: finds one, or installs Debian's where that is possible.
# Elsewhere these tests run on SQLite alone; those on PostgreSQL are skipped, and say so.
set -u
if command -v initdb >/dev/null 2>&1 || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then exit 0; fi
if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
  echo "Installing PostgreSQL for the tests of the database ..."
  # The tests start a server of their own: the package's needs no cluster, and must not start one.
  mkdir -p /etc/postgresql-common && [ -e /etc/postgresql-common/createcluster.conf ] || echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
  (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postgresql) >/dev/null 2>&1 || echo "PostgreSQL could not be installed: the tests on it will be skipped."
else
  echo "No PostgreSQL found: the tests on it will be skipped. Install it with your system's package manager to run them."
fi
