#!/usr/bin/env bash
# A lock file of requirements/ -> a fresh virtual environment, wheels only, every hash checked.
# Usage: install.sh serve|serve-cuda|export|audit|docs|clients|training|test VENV
#        install.sh japanese|serve-otel VENV   adds what Japanese models, or traces, need to one
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
        --require-hashes --no-deps --only-binary :all: "${@:2}" -r "$1"
}

# MeCab's dictionaries are published as source alone: the lock's setuptools makes wheels of them.
install_japanese() {
    local lock=requirements/japanese.txt
    pip_install <(sed -n '/^setuptools==/,/[^\\]$/p' "$lock")
    pip_install "$lock" --no-binary ipadic,unidic-lite --no-build-isolation --use-pep517
}

# A server installs nothing, so pip is there only for as long as it is needed.
remove_pip() {
    "$venv/bin/python" -m pip uninstall --quiet --yes setuptools pip 2>/dev/null
}

install_tracing() {
    pip_install requirements/serve-otel.txt
}

add() {  # add LOCK HOW: to an environment that is there
    echo "Adding requirements/$1.txt to $venv"
    if "$venv/bin/python" -c 'import pip' 2>/dev/null; then
        "$2"
    else
        "$venv/bin/python" -m ensurepip
        "$2"
        remove_pip
    fi
    exit
}

case $group in
japanese) add japanese install_japanese ;;
serve-otel) add serve-otel install_tracing ;;
esac

python=$(find_python)
echo "Installing requirements/$group.txt into $venv with $("$python" --version)"
"$python" -m venv --clear "$venv"
pip_install "requirements/$group.txt" || {
    echo "Where a wheel is missing: README.md says under 'What it runs on' which platforms have all;" \
        "this one is $(uname -sm)." >&2
    exit 1
}
case $group in
serve | serve-cuda)
    remove_pip
    ;;
training | test) # PyTorch's small CPU build, if this is its platform and pip is configured to find it
    if [[ $(uname -sm) != 'Linux x86_64' ]] || ! pip_install requirements/torch-cpu.txt 2>/dev/null
    then
        echo "Installing PyTorch as it is on PyPI, requirements/torch.txt"
        pip_install requirements/torch.txt
    fi
    ;;&
test)
    install_japanese
    pip_install requirements/reviews.txt
    ;;
esac
touch "$venv/.installed"
