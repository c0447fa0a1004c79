"""`make mutants`: how many small changes of each pure file its tests notice, and which they do not."""

import argparse
import subprocess
import sys

from tests.mutants.watched import TESTS_OF


def main() -> None:
    """Try each file in a process of its own: what it imports is nothing that the file before has left."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("names", nargs="*", help="part of a file's name; all when left out")
    wanted = arguments.parse_args().names
    names = [name for name in TESTS_OF if not wanted or any(part in name for part in wanted)]
    found = [
        subprocess.run([sys.executable, "-m", "tests.mutants.trial", name], check=False) for name in names
    ]
    if any(one.returncode for one in found):
        sys.exit("a file was not tried to its end")


if __name__ == "__main__":
    main()
