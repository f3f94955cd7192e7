#!/usr/bin/env bash
# Checks a webhook that was posted (Standard Webhooks). Needs bash, jq, openssl and GNU's coreutils.
#
#   SECRET=whsec_… ./webhook.sh ID TIMESTAMP SIGNATURES <body     # the three webhook-… headers, and the body as it came
#
# It prints the event's id and type, and ends with 1 where the post is not good. Drop an id that you have had before.
set -euo pipefail
export LC_ALL=C
refuse() { echo "$1" >&2; exit 1; }

id=$1 timestamp=$2 signatures=$3
[[ $timestamp =~ ^[0-9]{1,15}$ ]] || refuse "headers are missing"
age=$(($(date +%s) - 10#$timestamp))
[ ${age#-} -le 300 ] || refuse "too old, or from the future"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/body"
# HMAC (RFC 2104) by two hashes, since openssl takes a key among its arguments alone, which all of this machine may see.
key=$(printf %s "${SECRET#whsec_}" | base64 -d | od -An -v -tx1)
pad() {
  local byte made=''
  for byte in $key; do made+=$(printf '\\x%02x' $((16#$byte ^ $1))); done
  while [ ${#made} -lt 256 ]; do made+=$(printf '\\x%02x' "$1"); done
  printf %b "$made"
}
hash() { openssl dgst -sha256 -binary; }
hmac() { { pad 0x5c; { pad 0x36; printf '%s.%s.' "$id" "$timestamp"; cat "$folder/body"; } | hash; } | hash | base64 -w0; }
right="v1,$(hmac)"
# While a secret is being replaced there are two.
for each in $signatures; do
  [ "$each" != "$right" ] || { jq --raw-output --arg id "$id" '"event: \($id) \(.type)"' "$folder/body"; exit 0; }
done
refuse "not signed with this secret"
