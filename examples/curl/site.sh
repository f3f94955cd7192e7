#!/usr/bin/env bash
# A site's whole story by curl: enroll, a first code, an approval with its receipt, the event feed. Needs bash, curl and jq.
#
#   AUTHY_API_KEY=ak_… ./site.sh user-18
#
# What it must not forget it keeps in site.json. Stop it anywhere and start it again: it goes on, and nothing comes twice.
set -euo pipefail
umask 077
rest=${AUTHY_REST:-http://127.0.0.1:8080}
origin=${SITE:-https://shop.example}
here=$(cd "$(dirname "$0")" && pwd)
[ -s site.json ] || echo '{"cursor": "earliest"}' >site.json

# The key stands in a file that curl reads, not among its arguments, which all of this machine may see.
credential=$(mktemp)
trap 'rm -f "$credential"' EXIT
echo "header = \"authorization: Bearer $AUTHY_API_KEY\"" >"$credential"

get() { jq --raw-output "$1 // empty" site.json; }
keep() { jq "$@" site.json >site.json.new && mv site.json.new site.json; }
# A call. A `requestId` in the body makes it safe to send again. What is refused is told in words.
post() {
  local answer
  if answer=$(curl --silent --show-error --fail-with-body --max-time 10 --config "$credential" --json "$2" "$rest$1"); then
    echo "$answer"
  else
    jq --raw-output '"refused: \(.message) \([.details[].retryDelay | values] | add // "")"' <<<"$answer" >&2
    return 1
  fi
}
# What a stream brings, a line each: its id, a tab, the data. One that is cut is opened again after the last id.
watch() {
  local path=$1 last=$2 id kind name value
  while :; do
    id='' kind=''
    # A comment comes each 15 seconds: what is silent for longer is dead.
    while IFS= read -r line; do
      name=${line%%: *} value=${line#*: }
      case $name in
        id) id=$value ;;
        event) kind=$value ;;
        data)
          [ "$kind" != end ] || return 0
          if [ "$kind" != error ]; then last=$id; printf '%s\t%s\n' "$id" "$value"; fi
          id='' kind='' ;;
      esac
    done < <(curl --silent --no-buffer --fail --speed-limit 1 --speed-time 40 --config "$credential" \
      ${last:+--header "last-event-id: $last"} "$rest$path" || true)
    sleep 0.5
  done
}

if [ -z "$(get .enrollment)" ]; then
  made=$(post /v1/enrollments "$(jq --null-input --arg user "$1" '{customUserId: $user, requestId: "enroll-\($user)"}')")
  keep --argjson made "$made" '. + {enrollment: $made.enrollment, link: $made.qr.uri}'
fi
if [ -z "$(get .user)" ]; then
  echo "scan: $(get .link)"
  while IFS=$'\t' read -r id data; do
    state=$(jq --raw-output '.enrollment.state | ltrimstr("ENROLLMENT_STATE_")' <<<"$data")
    keep --arg id "$id" '.seen = $id'
    [ "$state" != COMPLETED ] || keep --argjson data "$data" '.user = $data.enrollment.authyId | .keys = $data.enrollment.keys'
    echo "enrollment: $state"
  done < <(watch "/v1/enrollments/$(get .enrollment.enrollmentId):watch" "$(get .seen)")
  [ -n "$(get .user)" ] || exit 1
fi
while [ -z "$(get .verified)" ]; do
  echo "code?"
  read -r code
  answer=$(post "/v1/users/$(get .user):verifyCode" "$(jq --null-input --arg code "$code" '{code: $code}')")
  echo "code: $(jq --raw-output .result <<<"$answer")"
  keep --argjson answer "$answer" '.verified = ($answer.result == "CODE_RESULT_ACCEPTED")'
done
if [ -z "$(get .asked)" ]; then
  question=$(jq '{message: "Log in?", requestId: "login-\(.enrollment.enrollmentId)"}' site.json)
  made=$(post "/v1/users/$(get .user)/approvals" "$question")
  keep --argjson made "$made" '.asked = $made.approval'
fi
if [ -z "$(get .decision)" ]; then
  echo "number: $(get .asked.matchNumber)"
  answer=$(watch "/v1/approvals/$(get .asked.approvalId):watch" '' | tail -n 1 | cut -f 2-)
  decision=$(jq --argjson answer "$answer" --arg origin "$origin" \
    '{approval: $answer.approval, asked, keys, origin: $origin}' site.json | "$here/receipt.sh")
  keep --arg decision "$decision" '.decision = $decision'
  echo "receipt: $decision"
fi
while IFS=$'\t' read -r cursor data; do
  # Yours writes what the event brings about and the cursor in one transaction.
  keep --arg cursor "$cursor" '.cursor = $cursor'
  jq --raw-output '.event | select(.) | "event: \(.eventId) \(.type)"' <<<"$data"
done < <(watch /v1/events:watch "$(get .cursor)")
