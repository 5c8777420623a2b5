#!/usr/bin/env bash
# The main job end to end, on the example data with the embedded local target: init, backup, a change, a second backup,
# verify, a restore that is compared, history. `demo.sh [FOLDER]`: everything lies in FOLDER (a new or empty one;
# ./.demo where none is given, which is made anew) and may be deleted afterwards.
set -euo pipefail
project=$(cd "$(dirname "$0")/.." && pwd)
demo=${1:-$project/.demo}
if (($# == 0)); then
  rm -rf "$demo"
elif [[ -e $demo && -n $(ls -A "$demo") ]]; then
  echo "$demo is not empty: give a new or an empty folder." >&2
  exit 2
fi
mkdir -p "$demo"
demo=$(cd "$demo" && pwd)
log=$demo/progress.log

# What is set for real backups must not reach the demo.
for name in ${!RW_@} ${!BACKUP_@} ${!RESTIC_@} ${!TEACHING_@}; do
  [[ $name == RW_RESTIC ]] || unset "$name"
done
export TEACHING_ROOT="$demo/teaching" RW_LOCAL_PATH="$demo/store" RW_STATE_DIR="$demo/state" \
  RESTIC_CACHE_DIR="$demo/cache" RW_POLICIES="$project/policies" BACKUP_TARGET_DEFAULT=local

python=$project/.venv/bin/python
# On a terminal progress is drawn live. Elsewhere it would be a line for each domain, which goes into a file instead.
if [[ ! -t 2 ]]; then
  exec 3>&2 2>"$log"
  trap 'code=$?; ((code == 0)) || { cat "$log" >&3; echo "The demo failed with exit code $code." >&3; }' EXIT
fi
number=0
step() { number=$((number + 1)); printf '\n%s. %s\n' "$number" "$*"; }
rw() { printf '\n$ rw %s\n' "$*"; "$project/.venv/bin/rw" "$@"; }

restic=$("$python" -m resticwrap.restic.install --if-missing)
echo "Everything here happens in $demo, with $("$restic" version | cut -d' ' -f1-2) at $restic."

step "A school's data, made from the real answers of 1,525 people"
"$python" "$project/examples/teaching/make.py" "$TEACHING_ROOT"

step "Make the two repositories of the target and a password for them"
rw init

step "Back everything up: one snapshot for each domain"
rw backup

step "A day goes by, and only what changed is stored"
"$python" "$project/examples/teaching/make.py" "$TEACHING_ROOT" --change 1
rw backup

step "Read every pack of the store back, and restore a sample for real"
rw verify --share 1

step "Get one domain back beside the live one, and compare"
rw restore --domain student_profiles --to "$demo/restored"
diff -r "$demo/restored/student_profiles" "$TEACHING_ROOT/serving/student_profiles"
echo "diff -r finds no difference between what was restored and what is live."

step "The same without rw: restic alone, with the same password"
bare=("$restic" --quiet --repo "$RW_LOCAL_PATH/teaching/hot" --password-file "$RW_STATE_DIR/secrets/local.password")
printf '\n$ restic restore latest --tag domain=exam_manifests --target FOLDER\n'
"${bare[@]}" restore latest --tag domain=exam_manifests --target "$demo/bare"
diff -r "$demo/bare/exam_manifests" "$TEACHING_ROOT/serving/exam_manifests"
echo "diff -r finds no difference here either."

step "What happened, and how safe everything is now"
rw history --limit 6
rw status

printf '\nDone. Look around in %s, or delete it.\n' "$demo"
