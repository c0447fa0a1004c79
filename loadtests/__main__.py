"""`python -m loadtests` runs the benchmark."""

from cyclopts import run

from loadtests.bench import bench

run(bench)
