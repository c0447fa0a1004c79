"""`make fuzz`: atheris looks for bytes that break a parser, for so many seconds each, and says what it found."""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

_LONGEST_BYTES = 4096


def main() -> None:
    """Fuzz each target in a process of its own, so that one that breaks does not end the others."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("names", nargs="*", help="targets; all when left out")
    arguments.add_argument("--seconds", type=int, default=25, help="for each target")
    arguments.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    wanted = arguments.parse_args()
    if wanted.here:
        _fuzz(wanted.names[0], wanted.seconds)
        return
    from tests.fuzz.targets import TARGETS  # noqa: PLC0415 - else it would be there before it is instrumented

    names = [one.name for one in TARGETS if not wanted.names or one.name in wanted.names]
    broken = [name for name in names if not _holds(name, wanted.seconds)]
    print(f"{len(names)} parsers, {wanted.seconds} s each: {', '.join(broken) or 'none'} broke")
    sys.exit(1 if broken else 0)


def _holds(name: str, seconds: int) -> bool:
    command = [sys.executable, "-m", "tests.fuzz", name, "--seconds", str(seconds), "--here"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds * 4 + 60)
    runs = [line for line in done.stderr.splitlines() if line.startswith(("#", "Done"))][-1:]
    print(f"{name}: {'holds' if done.returncode == 0 else 'BROKE'} {' '.join(runs)}")
    if done.returncode:
        print(done.stderr[-3000:])
    return done.returncode == 0


def _fuzz(name: str, seconds: int) -> None:
    import atheris  # noqa: PLC0415 - only in the environment of `make fuzz`

    with atheris.instrument_imports(include=["sca_service"]):
        from tests.fuzz.targets import TARGETS  # noqa: PLC0415
    target = next(one for one in TARGETS if one.name == name)
    with tempfile.TemporaryDirectory() as folder:
        for at, seed in enumerate(target.seeds):
            (Path(folder) / str(at)).write_bytes(seed)
        options = [f"-max_total_time={seconds}", f"-max_len={_LONGEST_BYTES}", "-print_final_stats=0", folder]
        atheris.Setup([sys.argv[0], *options], target.try_on)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
