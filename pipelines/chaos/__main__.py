"""`python -m pipelines.chaos`: the same as `charmnet chaos`."""

from pipelines.cli import module_main

raise SystemExit(module_main("chaos"))
