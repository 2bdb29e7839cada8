#!/usr/bin/env bash
# Fails a build where the library of this repository got slower than at BASE, at equal recall.
#
#     ci/gate.sh origin/main --definitions bench --algorithm mylib
#
# Whatever follows BASE goes to `ann-bench run`. It ends with 0 where nothing is wrong, or nobody can tell on this
# machine: then with a warning. 1 is a regression, 2 a mistake in the command, 4 sides that cannot be compared, 5 one
# that does not build or run.
set -uo pipefail

base=${1:?usage: gate.sh BASE [flags of ann-bench run]}
shift

warn() {
  if [ -n "${GITHUB_ACTIONS:-}" ]; then echo "::warning title=speed::$1"; else echo "warning: $1" >&2; fi
}

status=0
report=$(ann-bench run --against "$base" --format markdown "$@") || status=$?
printf '%s\n' "${report:-ann-bench ended with $status and no verdict; its log tells why}" | tee -a "${GITHUB_STEP_SUMMARY:-/dev/null}"

case $status in
  3) warn "inconclusive: a slowdown is neither shown nor ruled out" ;;
  4) grep -q "BASE against itself shows" <<<"$report" || exit 4
     warn "invalid: this machine is too restless now" ;;
  *) exit "$status" ;;
esac
