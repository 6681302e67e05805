"""Entry point of `python -m pipelines COMMAND ...`, the same as `charmnet COMMAND ...`."""

from pipelines.commands.cli import main

raise SystemExit(main())
