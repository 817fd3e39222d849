"""Writes the golden files of the tests anew; read the difference before it is committed.

python -m scripts.remake_golden
"""

from __future__ import annotations

from tests.example import GOLDEN, golden_texts


def main() -> None:
    """Write every golden file."""
    GOLDEN.mkdir(exist_ok=True)
    for name, text in golden_texts().items():
        (GOLDEN / name).write_text(text, encoding="utf-8")
        print(f"wrote {GOLDEN / name}")


if __name__ == "__main__":
    main()
