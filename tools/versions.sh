#!/bin/sh
# Which versions the project is developed with, and the oldest it works with (uv resolves both):
#
#   tools/versions.sh lock [NAME...]   newer versions (of NAME alone) into requirements-dev.lock
#   tools/versions.sh lowest FOLDER    a virtual environment with the oldest that pyproject.toml allows
#
# The lock holds names, versions and hashes, and no address of an index: whichever pip is set up for serves.
set -eu
cd "$(dirname "$0")/.."
lock=requirements-dev.lock

.venv/bin/python -m pip install -q --disable-pip-version-check 'uv>=0.8'
# uv does not read pip's settings; the index and the certificates are the same all the same.
[ -z "${PIP_INDEX_URL:-}" ] || export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$PIP_INDEX_URL}"
[ -z "${PIP_CERT:-}" ] || export SSL_CERT_FILE="${SSL_CERT_FILE:-$PIP_CERT}"
uv() { env -u VIRTUAL_ENV .venv/bin/uv --quiet --no-config "$@"; }

case "${1:-}" in
    lock)
        shift
        upgrade=--upgrade
        for name in "$@"; do upgrade="${upgrade#--upgrade} --upgrade-package $name"; done
        # shellcheck disable=SC2086
        uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate $upgrade \
            --extra demo --group dev pyproject.toml --output-file "$lock" >/dev/null
        ;;
    lowest)
        folder=${2:?a folder is needed}
        stamp=$folder/.installed
        wanted=$(cat pyproject.toml "$lock" | cksum)
        [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ] || exit 0
        uv venv --clear --seed --python .venv/bin/python "$folder"
        uv pip install --python "$folder/bin/python" --resolution lowest-direct --editable '.[demo]'
        # The tools that test are not what is tested: they come as locked, and leave the above as it is.
        uv pip install --python "$folder/bin/python" --constraint "$lock" --group test
        printf '%s\n' "$wanted" >"$stamp"
        ;;
    *)
        echo "usage: tools/versions.sh lock [NAME...] | lowest FOLDER" >&2
        exit 1
        ;;
esac
