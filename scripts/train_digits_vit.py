"""Trains the vision transformer of `demo:digits-vit` into a folder, and tells how well it reads MNIST.

python scripts/train_digits_vit.py vit
"""

from __future__ import annotations

import argparse
from pathlib import Path

from msplora_search.tasks.demo.digits_vit import pretrain


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    print(f"accuracy on the tenth of demo:mnist that was held back: {pretrain(folder):.4f}")


if __name__ == "__main__":
    main()
