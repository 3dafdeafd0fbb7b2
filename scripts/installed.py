"""The environment this runs in -> its packages, their versions, their count and their size."""

import platform
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path


def size_mb(distribution: Distribution) -> float:
    """Disk space of one installed package in megabytes (10^6 bytes)."""
    paths = (Path(str(file.locate())) for file in distribution.files or ())
    return sum(path.stat().st_size for path in paths if path.is_file()) / 1e6


def main() -> None:
    """Print one line per package, then the totals."""
    packages = sorted(distributions(), key=lambda package: package.name.lower())
    sizes = [size_mb(package) for package in packages]
    for package, size in zip(packages, sizes, strict=True):
        print(f"{package.name:24} {package.version:14} {size:7.1f} MB")
    print(f"{len(packages)} packages, {sum(sizes):.0f} MB, Python {platform.python_version()}")
    print(f"in {Path(sys.prefix).name}")


if __name__ == "__main__":
    main()
