"""Make an account on an MLflow server with accounts (infra/mlflow.sh); asks for the password.

  export MLFLOW_TRACKING_URI=https://mlflow.example.org MLFLOW_TRACKING_USERNAME=admin
  export MLFLOW_TRACKING_PASSWORD=$(<~/.local/state/charmnet/mlflow-shared/admin-password)
  python infra/access/mlflow_account.py NAME

Where there is no terminal, the password is the first line of standard input.
"""

from __future__ import annotations

import argparse
import getpass
import os
import sys

from mlflow.server import get_app_client


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name")
    name = parser.parse_args().name
    password = getpass.getpass() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    client = get_app_client("basic-auth", os.environ["MLFLOW_TRACKING_URI"])
    client.create_user(name, password)
    print(f"made the account {name}")


if __name__ == "__main__":
    main()
