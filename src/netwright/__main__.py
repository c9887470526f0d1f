"""`python -m netwright` is the `netwright` command."""

from netwright.app.cli import main

main()
