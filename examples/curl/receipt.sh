#!/usr/bin/env bash
# Checks a receipt as docs/receipts.md says, rule by rule. It needs bash, jq, openssl and GNU's coreutils.
#
#   ./receipt.sh <answered.json    # {"approval": …, "asked": …, "origin": "https://shop.example", "keys": […]}
#
# Approvals and keys are the contract's as JSON has them. It prints the decision; where a rule is broken it prints the rule's
# name on stderr and ends with 1.
set -euo pipefail
export LC_ALL=C

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
all=$folder/all.json
cat >"$all"

refuse() { echo "$1: not what was asked, or not what was signed" >&2; exit 1; }
get() { jq --join-output "$1" "$all"; }
# The first rule that a program in jq finds broken.
rules() { local broken; broken=$(jq --raw-output "$@"); [ -z "$broken" ] || refuse "$broken"; }
# Base64url without padding, to bytes and back.
decode() { local rest=$(( (4 - ${#1} % 4) % 4 )); { printf %s "$1"; head -c "$rest" <<<===; } | tr -- -_ +/ | base64 -d 2>/dev/null; }
encode() { base64 -w0 | tr -- +/ -_ | tr -d =; }
# A time of the contract's JSON in nanoseconds since 1970.
nanoseconds() { date --utc --date "$1" +%s%N; }

# 1 to 3: the approval is the one that was asked.
common='def pairs: (.details // []) | map([.label // "", .value // ""]); def sure: .requireUserVerification // false;
  def rule(name; holds): if holds then empty else name end;'
rules "$common"'
  {"APPROVAL_STATE_APPROVED DENY_REASON_UNSPECIFIED": "approve", "APPROVAL_STATE_DENIED DENY_REASON_CANCELED_BY_USER": "deny",
    "APPROVAL_STATE_DENIED DENY_REASON_FRAUD": "report_fraud"} as $states
  | .asked as $asked | .approval | first(
    rule("state"; $states["\(.state) \(.denyReason // "DENY_REASON_UNSPECIFIED")"]),
    rule("approval_id"; .approvalId == $asked.approvalId and .approvalId != ""),
    rule("authy_id"; .authyId == $asked.authyId),
    rule("message"; (.message // "") == ($asked.message // "")),
    rule("details"; pairs == ($asked | pairs)),
    rule("hidden_details"; (.hiddenDetails // {}) == ($asked.hiddenDetails // {})),
    rule("require_user_verification"; sure == ($asked | sure)), "")' "$all"

# 4: the fixed form.
receipt=$(get '.approval.receipt // "" | @json | .[1:-1]')
[ ${#receipt} -le 65536 ] && [[ $receipt =~ ^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)$ ]] || refuse receipt
parts=("${BASH_REMATCH[@]:1}")
names=(header payload signature)
for at in 0 1 2; do
  decode "${parts[at]}" >"$folder/${names[at]}" || refuse receipt
  [ "$(encode <"$folder/${names[at]}")" = "${parts[at]}" ] || refuse receipt
done
[ "$(tr -d '\0' <"$folder/header" | wc -c)" = "$(wc -c <"$folder/header")" ] || refuse receipt
[[ $(<"$folder/header") =~ ^\{\"alg\":\"ES256\",\"kid\":\"([A-Za-z0-9_-]{43})\",\"typ\":\"authy-approval\"\}$ ]] || refuse receipt
kid=${BASH_REMATCH[1]}
# Written anew from what was read it must be the same bytes.
form='def whole: type == "number" and . >= 0 and . < 1e15 and . == floor; def truth: type == "boolean";
  .question as $q | select(
    (.decision == "approve" and (.match_number | test("^[0-9]*$")))
    or ((.decision == "deny" or .decision == "report_fraud") and .match_number == ""))
  | select((.user_verified | truth) and (.time | whole) and $q.v == 1 and ($q.user_verification | truth)
    and ([$q.match_digits, $q.created, $q.expires] | all(whole)) and ($q.nonce | test("^[A-Za-z0-9_-]{22}$"))
    and ([$q.approval_id, $q.authy_id, $q.site_id, $q.site, $q.origin, $q.message] | all(type == "string"))
    and ($q.details | all(length == 2 and all(type == "string"))))
  | {decision, match_number, user_verified, time, question: ($q
    | {v, approval_id, authy_id, site_id, site, origin, message, details, match_digits, user_verification, created, expires, nonce})}'
jq --compact-output --join-output "$form" "$folder/payload" >"$folder/anew" 2>/dev/null || refuse receipt
cmp --silent "$folder/anew" "$folder/payload" || refuse receipt
[ "$(wc -c <"$folder/signature")" = 64 ] || refuse receipt

# 5 and 6: a key of this user, by its own thumbprint, that was good when the site asked.
asked_at=$(nanoseconds "$(get .asked.createTime)")
found=
while IFS=$'\t' read -r revoked jwk; do
  own=$(jq --compact-output '{crv, kty, x, y}' <<<"$jwk" 2>/dev/null) && [ "$own" = "$jwk" ] || continue
  [ "$(printf %s "$jwk" | openssl dgst -sha256 -binary | encode)" = "$kid" ] || continue
  [[ $jwk == '{"crv":"P-256","kty":"EC",'* ]] || continue
  [ "$revoked" = - ] || [ "$(nanoseconds "$revoked")" -gt "$asked_at" ] || refuse kid
  found=$jwk
done < <(jq --raw-output --arg kid "$kid" '.keys[] | select(.kid == $kid) | "\(.revokeTime // "-")\t\(.jwk)"' "$all")
[ -n "$found" ] || refuse kid

# 7: the signature. OpenSSL takes a key as DER, and r and s as a sequence of two numbers.
{
  printf '\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00\x04'
  for name in x y; do decode "$(jq --raw-output ".$name" <<<"$found")"; done
} >"$folder/key.der"
hex=$(od -An -v -tx1 "$folder/signature" | tr -d ' \n')
printf 'asn1=SEQUENCE:two\n[two]\nr=INTEGER:0x%s\ns=INTEGER:0x%s\n' "${hex:0:64}" "${hex:64}" >"$folder/two.cnf"
openssl asn1parse -genconf "$folder/two.cnf" -out "$folder/signature.der" -noout >/dev/null 2>&1 || refuse receipt
printf %s "${parts[0]}.${parts[1]}" | openssl dgst -sha256 -verify <(openssl pkey -pubin -inform DER -in "$folder/key.der" 2>/dev/null) \
  -signature "$folder/signature.der" >/dev/null 2>&1 || refuse receipt

# 8 to 12: what was signed is what was asked, and the answer fits.
rules "$common"'
  .asked as $asked | .origin as $origin | .approval as $approval | ($asked.matchNumber // "") as $number
  | $said[0] | .question as $question | (.decision == "approve") as $approves | first(
    rule("receipt"; .time >= $question.created - 60 and .time <= $question.expires + 60),
    rule("approval_id"; $question.approval_id == $asked.approvalId),
    rule("authy_id"; $question.authy_id == $asked.authyId),
    rule("origin"; $question.origin == $origin),
    rule("message"; $question.message == ($asked.message // "")),
    rule("details"; $question.details == ($asked | pairs)),
    rule("require_user_verification"; $question.user_verification == ($asked | sure)),
    rule("match_digits"; $question.match_digits == ($number | length)),
    rule("create_time"; $question.created == $created),
    rule("expire_time"; $question.expires == $expires),
    rule("decision"; (if $approves then "APPROVED UNSPECIFIED" elif .decision == "deny" then "DENIED CANCELED_BY_USER"
      else "DENIED FRAUD" end) as $told | ($approval.denyReason // "DENY_REASON_UNSPECIFIED") as $reason
      | "APPROVAL_STATE_\($told | split(" ")[0]) DENY_REASON_\($told | split(" ")[1])" == "\($approval.state) \($reason)"),
    rule("match_number"; .match_number == (if $approves then $number else "" end)),
    rule("user_verified"; .user_verified or ($asked | sure | not) or ($approves | not)), "")' "$all" \
  --slurpfile said "$folder/payload" --argjson created $((asked_at / 1000000000)) \
  --argjson expires $(($(nanoseconds "$(get .asked.expireTime)") / 1000000000))
jq --raw-output .decision "$folder/payload"
