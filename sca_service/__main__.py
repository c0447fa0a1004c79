"""`python -m sca_service` is `sca`."""

from sca_service.cli import main

main()
