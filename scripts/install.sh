#!/usr/bin/env bash
# A lock file of requirements/ -> a fresh virtual environment, wheels only, every hash checked.
# Usage: install.sh serve|serve-cuda|export|training|test VENV
set -euo pipefail
cd "$(dirname "$0")/.."
readonly group=$1 venv=$2

# The first interpreter that runs, is new enough and can make a virtual environment.
find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if "$candidate" -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' \
            2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "Cloze needs Python 3.11 or newer with venv (Debian: python3-venv); none was found." \
        "Set PYTHON=/path/to/python to name one." >&2
    return 1
}

pip_install() {
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
        --require-hashes --no-deps --only-binary :all: -r "$1"
}

python=$(find_python)
echo "Installing requirements/$group.txt into $venv with $("$python" --version)"
"$python" -m venv --clear "$venv"
pip_install "requirements/$group.txt"
case $group in
serve | serve-cuda) # a server installs nothing
    "$venv/bin/python" -m pip uninstall --quiet --yes setuptools pip 2>/dev/null
    ;;
training | test) # where pip is configured to find PyTorch's small CPU build, that one
    pip_install requirements/torch-cpu.txt 2>/dev/null || pip_install requirements/torch.txt
    ;;
esac
touch "$venv/.installed"
