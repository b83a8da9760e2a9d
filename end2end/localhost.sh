#!/bin/sh
# Runs a command where `api.localhost` leads to this machine.
#
# The truss client calls the REST API at http://api.localhost:8000, whatever it is told, and glibc alone does not know
# that name. Where the machine does not know it either, the command gets a mount namespace with a hosts file of its own;
# the machine's stays as it is.
set -eu

if [ "$#" -eq 0 ]; then
  echo "usage: localhost.sh COMMAND [ARGUMENT…]" >&2
  exit 2
fi
if getent hosts api.localhost >/dev/null 2>&1; then
  exec "$@"
fi

hosts=$(mktemp)
trap 'rm -f "$hosts"' EXIT
{ cat /etc/hosts; echo "127.0.0.1 api.localhost"; } >"$hosts"
# mktemp's file is private, and a browser's helpers run as other users.
chmod 644 "$hosts"

if [ "$(id -u)" -eq 0 ]; then namespace="--mount"; else namespace="--mount --map-root-user"; fi
if ! unshare $namespace true 2>/dev/null; then
  echo "api.localhost does not resolve, and this machine permits no mount namespace." >&2
  echo "Add this line to /etc/hosts: 127.0.0.1 api.localhost" >&2
  exit 1
fi
# shellcheck disable=SC2016 # expanded inside
unshare $namespace sh -c 'mount --bind "$1" /etc/hosts && shift && exec "$@"' sh "$hosts" "$@"
