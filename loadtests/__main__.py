"""`python -m loadtests` runs the benchmark; with the name of another measurement, that one."""

from cyclopts import App

from loadtests.bench import bench
from loadtests.flat import flat
from loadtests.headroom import headroom
from loadtests.settings import settings
from loadtests.start import start
from loadtests.two_apis import two_apis

app = App(name="make bench", help="Measurements on this machine (loadtests/README.md).")
app.default(bench)
for measurement in (flat, headroom, settings, start, two_apis):
    app.command(measurement)
app()
