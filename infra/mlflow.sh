#!/usr/bin/env bash
# Starts an MLflow server with accounts for several people, on the loopback interface: put a proxy with TLS in front of it.
#   ALLOWED_HOSTS=mlflow.example.org ./infra/mlflow.sh --backend-store-uri postgresql://mlflow@db.example.org/mlflow \
#       --artifacts-destination s3://bucket/mlflow [other options of `mlflow server`]
# The store's keys and the database's password (PGPASSWORD) come from this shell's environment: clients need neither.
# The administrator's password is in the state folder; docs/security.md says how accounts are made.
set -euo pipefail
source "$(dirname -- "$0")/environment.sh"

state=${CHARMNET_STATE:-${XDG_STATE_HOME:-$HOME/.local/state}/charmnet}/mlflow-shared
port=${PORT:-5000}
umask 077
mkdir -p "$state"
for secret in admin-password flask-key; do
  [ -s "$state/$secret" ] || python -c 'import secrets; print(secrets.token_urlsafe(32), end="")' >"$state/$secret"
done
cat >"$state/accounts.ini" <<END
[mlflow]
default_permission = READ
database_uri = sqlite:///$state/accounts.db
admin_username = admin
auth_cache_ttl_seconds = 60
END

export MLFLOW_AUTH_CONFIG_PATH=$state/accounts.ini MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
MLFLOW_AUTH_ADMIN_PASSWORD=$(<"$state/admin-password")
MLFLOW_FLASK_SERVER_SECRET_KEY=$(<"$state/flask-key")
export MLFLOW_AUTH_ADMIN_PASSWORD MLFLOW_FLASK_SERVER_SECRET_KEY
# The store's region, addresses and checksums, as every command is told them.
exports=$(python -m pipelines.runtime.s3_settings)
eval "$exports"
cd "$state"
exec mlflow server --app-name basic-auth --host 127.0.0.1 --port "$port" --workers 1 \
  --allowed-hosts "127.0.0.1:$port,localhost:$port${ALLOWED_HOSTS:+,$ALLOWED_HOSTS}" "$@"
