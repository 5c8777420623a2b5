#!/usr/bin/env bash
# The main job end to end, on the example data with the embedded local target: init, backup, a change, a second backup,
# verify, a restore that is compared, history. Everything lies in ./.demo and may be deleted.
set -euo pipefail
cd "$(dirname "$0")/.."
rw() { echo; echo "\$ rw $*"; .venv/bin/rw "$@"; }

demo="$PWD/.demo"
rm -rf "$demo"
mkdir -p "$demo"
export TEACHING_ROOT="$demo/teaching" RW_LOCAL_PATH="$demo/store" RW_STATE_DIR="$demo/state" \
    RESTIC_CACHE_DIR="$demo/cache" RW_POLICIES="$PWD/policies" BACKUP_TARGET_DEFAULT=local
unset RESTIC_PASSWORD RESTIC_PASSWORD_FILE RESTIC_PASSWORD_COMMAND RESTIC_REPOSITORY

echo "A school's data, made from the real answers of 1,525 people:"
.venv/bin/python examples/teaching/make.py "$TEACHING_ROOT"

rw init
rw backup
.venv/bin/python examples/teaching/make.py "$TEACHING_ROOT" --change 1
rw backup
rw verify
rw restore --domain student_profiles --to "$demo/restored"
diff -r "$demo/restored/student_profiles" "$TEACHING_ROOT/serving/student_profiles"
echo "diff -r finds no difference between what was restored and what is live."
rw history
rw status
