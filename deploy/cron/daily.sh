#!/bin/bash
# Yesterday's tasks, or those of a date or of every date of a range:
#
#     30 2 * * *  /srv/jobs/daily.sh              # in crontab -e; for a cluster set RAY_ADDRESS and
#                                                 # RAY_AUTH_TOKEN_PATH there, and device in the job's [compute]
#     daily.sh 2026-11-22                         # one date again: nothing is done twice
#     daily.sh 2026-11-01 2026-11-22              # a backfill
#
# Two runs of one date at once do no harm. A date that fails does not keep the others; the last failure's code is the
# script's own.
set -uo pipefail

job="${JOB:-/srv/jobs/job.toml}"
first="${1:-$(date -u -d yesterday +%F)}"
last="${2:-$first}"

status=0
day="$first"
while [[ ! "$day" > "$last" ]]; do
  for wait in 60 300 900 0; do
    code=0
    jaxbatch run "$job" --var date="$day" --json || code=$?
    [[ $code -eq 75 && $wait -gt 0 ]] || break # the cluster or the store cannot be reached: later it may be
    sleep "$wait"
  done
  [[ $code -eq 0 ]] || { status=$code; echo "$day: exit $code" >&2; }
  day="$(date -u -d "$day + 1 day" +%F)"
done
exit "$status"
