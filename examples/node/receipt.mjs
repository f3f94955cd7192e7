// Checks a receipt as docs/receipts.md says, rule by rule. It needs Node 18 or newer and nothing else.
//
//   import { verifyReceipt } from './receipt.mjs'
//   const { decision, kid, time } = verifyReceipt(approval, asked, 'https://shop.example', keys)
//
// Approvals and keys are the contract's: as JSON has them (REST, webhooks), or proto-loader with `longs` and `enums` as text.

import { createHash, createPublicKey, verify } from 'node:crypto'

const SKEW = 60n
const STATES = {
  'APPROVAL_STATE_APPROVED DENY_REASON_UNSPECIFIED': 'approve',
  'APPROVAL_STATE_DENIED DENY_REASON_CANCELED_BY_USER': 'deny',
  'APPROVAL_STATE_DENIED DENY_REASON_FRAUD': 'report_fraud',
}
const TEXT = '"(?:[^"\\\\\\x00-\\x1f]|\\\\["\\\\])*"'
const NUMBER = '(?:0|[1-9][0-9]{0,14})'
const PAIRS = `\\[(?:\\[${TEXT},${TEXT}\\](?:,\\[${TEXT},${TEXT}\\])*)?\\]`
const HEADER = /^\{"alg":"ES256","kid":"([A-Za-z0-9_-]{43})","typ":"authy-approval"\}$/
const PAYLOAD = new RegExp(
  '^\\{"decision":"(?:approve","match_number":"[0-9]*|(?:deny|report_fraud)","match_number":")",' +
  `"user_verified":(?:true|false),"time":${NUMBER},"question":\\{"v":1,"approval_id":${TEXT},"authy_id":${TEXT},` +
  `"site_id":${TEXT},"site":${TEXT},"origin":${TEXT},"message":${TEXT},"details":${PAIRS},"match_digits":${NUMBER},` +
  `"user_verification":(?:true|false),"created":${NUMBER},"expires":${NUMBER},"nonce":"[A-Za-z0-9_-]{22}"\\}\\}$`, 'u')

/** What a receipt breaks: `rule` is the name that docs/receipts.md gives it. */
export class ReceiptError extends Error {
  constructor (rule) {
    super(`${rule}: not what was asked, or not what was signed`)
    this.rule = rule
  }
}

/**
 * Checks that the user's own key signed this decision on what the site asked.
 * @param approval the answered one, from anywhere
 * @param asked what CreateApproval answered, kept by the site
 * @param origin the site's own, such as https://shop.example
 * @param keys of this user: what the site has kept since enrollment, the revoked ones too
 * @returns {{decision: string, kid: string, time: Date}} what the user chose; throws ReceiptError
 */
export function verifyReceipt (approval, asked, origin, keys) {
  const decision = STATES[`${approval.state} ${approval.denyReason || 'DENY_REASON_UNSPECIFIED'}`]
  demand('state', decision !== undefined)
  demand('approval_id', approval.approvalId !== '' && approval.approvalId === asked.approvalId)
  demand('authy_id', approval.authyId === asked.authyId)
  demand('message', (approval.message ?? '') === (asked.message ?? ''))
  demand('details', same(pairs(approval.details), pairs(asked.details)))
  demand('hidden_details', same(sorted(approval.hiddenDetails), sorted(asked.hiddenDetails)))
  const sure = Boolean(asked.requireUserVerification)
  demand('require_user_verification', Boolean(approval.requireUserVerification) === sure)
  const { kid, signed, signature, said } = read(approval.receipt ?? '')
  const key = find(kid, nanoseconds(asked.createTime), keys)
  demand('receipt', verify('sha256', signed, { key, dsaEncoding: 'ieee-p1363' }, signature))
  const question = said.question
  const time = BigInt(said.time)
  demand('receipt', time >= BigInt(question.created) - SKEW && time <= BigInt(question.expires) + SKEW)
  const number = asked.matchNumber ?? ''
  demand('approval_id', question.approval_id === asked.approvalId)
  demand('authy_id', question.authy_id === asked.authyId)
  demand('origin', question.origin === origin)
  demand('message', question.message === (asked.message ?? ''))
  demand('details', same(question.details, pairs(asked.details)))
  demand('require_user_verification', question.user_verification === sure)
  demand('match_digits', question.match_digits === number.length)
  demand('create_time', BigInt(question.created) === nanoseconds(asked.createTime) / 1_000_000_000n)
  demand('expire_time', BigInt(question.expires) === nanoseconds(asked.expireTime) / 1_000_000_000n)
  demand('decision', said.decision === decision)
  demand('match_number', said.match_number === (decision === 'approve' ? number : ''))
  demand('user_verified', said.user_verified || !sure || decision !== 'approve')
  return { decision, kid, time: new Date(said.time * 1000) }
}

function demand (rule, holds) {
  if (!holds) throw new ReceiptError(rule)
}

/** Takes a receipt apart; what is not in the fixed form has no parts. */
function read (receipt) {
  const parts = receipt.split('.')
  demand('receipt', receipt.length <= 65_536 && parts.length === 3)
  const bytes = parts.map(part => Buffer.from(part, 'base64url'))
  // Buffer passes over what is no base64url: what comes out must lead back to what came in.
  demand('receipt', bytes.every((each, at) => each.toString('base64url') === parts[at]))
  const [header, payload, signature] = bytes
  const named = HEADER.exec(header.toString('latin1'))
  let text
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(payload)
  } catch {
    throw new ReceiptError('receipt')
  }
  demand('receipt', named !== null && PAYLOAD.test(text) && signature.length === 64)
  return { kid: named[1], signed: Buffer.from(`${parts[0]}.${parts[1]}`), signature, said: JSON.parse(text) }
}

/** The public key that a receipt names: by its own thumbprint (RFC 7638), since a name alone is no key. */
function find (kid, askedAt, keys) {
  let found
  for (const each of keys) {
    const key = parse(each.jwk, kid)
    if (each.kid !== kid || key === undefined) continue
    demand('kid', !each.revokeTime || nanoseconds(each.revokeTime) > askedAt)
    found = key
  }
  demand('kid', found !== undefined)
  return found
}

function parse (text, kid) {
  try {
    const { crv, kty, x, y } = JSON.parse(text)
    const own = JSON.stringify({ crv, kty, x, y })
    if (kty !== 'EC' || crv !== 'P-256' || own !== text) return undefined
    if (createHash('sha256').update(own).digest('base64url') !== kid) return undefined
    return createPublicKey({ key: { crv, kty, x, y }, format: 'jwk' })
  } catch {
    return undefined
  }
}

const same = (one, other) => JSON.stringify(one) === JSON.stringify(other)
const pairs = details => (details ?? []).map(({ label, value }) => [label ?? '', value ?? ''])
const sorted = map => Object.entries(map ?? {}).sort(([one], [other]) => (one < other ? -1 : 1))

/** A time in nanoseconds since 1970: of the contract's JSON (RFC 3339, in UTC), or as proto-loader has it. */
function nanoseconds (time) {
  if (typeof time === 'object') return BigInt(time.seconds) * 1_000_000_000n + BigInt(time.nanos)
  const [, whole, fraction = ''] = /^([^.]+?)(?:\.(\d{1,9}))?Z$/.exec(time)
  return BigInt(Date.parse(`${whole}Z`)) * 1_000_000n + BigInt(fraction.padEnd(9, '0'))
}
