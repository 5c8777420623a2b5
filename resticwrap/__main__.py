"""`python -m resticwrap` is `rw`."""

from resticwrap.cli.main import main

main()
