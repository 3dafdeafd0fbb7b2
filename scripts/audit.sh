#!/usr/bin/env bash
# The lock files -> the known vulnerabilities of what they pin, by PyPI's advisories or else OSV's.
# Usage: audit.sh [PIP-AUDIT-ARGUMENTS...], e.g. --ignore-vuln ID, or -s osv --osv-url URL
# Fails on findings, on a broken lock file and on an audit that breaks off. Where no advisory service
# answers, the files are read all the same, and the one line that says so is the result.
set -euo pipefail
cd "$(dirname "$0")/.."

# PyPI's index alone is often mirrored: what serves no advisories then answers "not found", which is
# nothing found, to pip-audit too. So a service is asked first for what it must know.
readonly CONTROL='flask==0.5 --hash=sha256:20e176b1db0e2bfe92d869f7b5d0ee3e5d6cb60e793755aaf2284bd78a6202ea'

copies=$(mktemp -d)
readonly copies
trap 'rm -r "$copies"' EXIT

audit() {  # audit SERVICE PIP-AUDIT-ARGUMENTS...
    pip-audit --progress-spinner off --require-hashes --disable-pip --strict --vulnerability-service "$@"
}

fail() {
    cat "$copies/log" >&2
    echo "$1 cannot be audited" >&2
    exit 1
}

# torch-cpu.txt is left out: its release is in torch.txt, and its build is not on PyPI.
for lock in requirements/*.txt; do
    [[ $lock == */torch-cpu.txt ]] && continue
    # Without their markers, packages of every platform are looked up on this one.
    sed 's/ ; [^\\]*/ /' "$lock" >"$copies/${lock##*/}"
    audit pypi "$@" --dry-run --requirement "$copies/${lock##*/}" >"$copies/log" 2>&1 || fail "$lock"
done

echo "$CONTROL" >"$copies/control"
for service in pypi osv; do
    # Both a finding and a service that does not answer are a 1.
    known=$(audit "$service" "$@" --format json --output /dev/stdout \
        --requirement "$copies/control" 2>"$copies/log") || (($? == 1)) || fail "$CONTROL"
    [[ $known == *'"id":'* ]] || continue
    failed=0
    for lock in "$copies"/*.txt; do
        echo "requirements/${lock##*/}:"
        audit "$service" "$@" --requirement "$lock" || failed=1
    done
    exit "$failed"
done
echo "NOT AUDITED: no advisory service (PyPI's, OSV) answers here; the lock files are well formed."
