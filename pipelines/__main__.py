"""Entry point of `charmnet COMMAND ...` and `python -m pipelines COMMAND ...`."""

from pipelines.runtime.signals import exiting_on_signals, ignore_signals


def main() -> int:
    """Run the command line; signals end it in order, from before it is imported to its end."""
    with exiting_on_signals():
        from pipelines.commands import cli  # noqa: PLC0415 - a signal may come meanwhile

        try:
            return cli.main()
        finally:
            ignore_signals()  # the work is done, and what is left is to end


if __name__ == "__main__":
    raise SystemExit(main())
