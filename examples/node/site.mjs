// A site's whole story over gRPC: enroll, a first code, an approval with its receipt, the event feed.
//
//   authy-grpc protos protos && npm ci && AUTHY_API_KEY=ak_… node site.mjs user-18
//
// What it must not forget it keeps in site.json. Stop it anywhere and start it again: it goes on, and nothing comes twice.

import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline/promises'
import grpc from '@grpc/grpc-js'
import loader from '@grpc/proto-loader'
import { verifyReceipt } from './receipt.mjs'

const { AUTHY_SERVER = '127.0.0.1:50051', AUTHY_API_KEY, AUTHY_PROTOS = 'protos', SITE = 'https://shop.example' } = process.env
const files = ['enrollment', 'verification', 'approval', 'event'].map(name => `authy_grpc/v1/${name}.proto`)
const options = { includeDirs: [AUTHY_PROTOS], longs: String, enums: String, defaults: true, oneofs: true }
const { authy_grpc: { v1 } } = grpc.loadPackageDefinition(loader.loadSync(files, options))

const state = existsSync('site.json') ? JSON.parse(readFileSync('site.json', 'utf8')) : { cursor: 'earliest' }
const keep = changes => {
  writeFileSync('site.json.new', JSON.stringify(Object.assign(state, changes)), { mode: 0o600 })
  renameSync('site.json.new', 'site.json') // whole or not at all
}
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const metadata = new grpc.Metadata()
metadata.set('authorization', `Bearer ${AUTHY_API_KEY}`)
const stub = name => new v1[name](AUTHY_SERVER, grpc.credentials.createInsecure())
const [enrollments, codes, approvals, feed] = ['Enrollment', 'Verification', 'Approval', 'Event'].map(name => stub(`${name}Service`))

// What the service refuses it says in words: `error.details`.
process.on('uncaughtException', error => { console.error(`refused: ${error.details ?? error.message}`); process.exit(1) })

/** A call, as a promise. A `requestId` in the request makes it safe to send again. */
function call (client, method, request) {
  return new Promise((resolve, reject) => {
    const deadline = Date.now() + 10_000
    client[method](request, metadata, { deadline }, (error, answer) => error ? reject(error) : resolve(answer))
  })
}

/** What a stream brings. One that is cut is opened again where it stopped: `request` says where that is. */
async function * watch (client, method, request, over) {
  for (let pause = 100; ; pause = Math.min(pause * 2, 30_000)) {
    try {
      for await (const message of client[method](request(), metadata)) {
        pause = 100
        yield message
      }
      if (over()) return
    } catch (error) {
      // A status with a reason of ours is an answer; one without comes from the way: go on.
      if (error.metadata?.get('grpc-status-details-bin').length && error.code !== grpc.status.UNAVAILABLE) throw error
    }
    await new Promise(resolve => setTimeout(resolve, pause))
  }
}

if (!state.enrollment) {
  const request = { customUserId: process.argv[2], requestId: `enroll-${process.argv[2]}` }
  const { enrollment, qr } = await call(enrollments, 'CreateEnrollment', request)
  keep({ enrollment, link: qr.uri })
}
if (!state.user) {
  console.log(`scan: ${state.link}`)
  const request = () => ({ enrollmentId: state.enrollment.enrollmentId, afterRevision: state.seen ?? '0', heartbeat: true })
  const done = () => ['COMPLETED', 'REJECTED', 'EXPIRED', 'CANCELED'].includes(state.stage)
  for await (const { enrollment } of watch(enrollments, 'WatchEnrollment', request, done)) {
    if (!enrollment) continue
    keep({ seen: enrollment.revision, stage: enrollment.state.replace('ENROLLMENT_STATE_', '') })
    console.log(`enrollment: ${state.stage}`)
    if (state.stage === 'COMPLETED') keep({ user: enrollment.authyId, keys: enrollment.keys })
  }
  if (!state.user) process.exit(1)
}
while (!state.verified) {
  console.log('code?')
  const { value: code } = await lines.next()
  const { result } = await call(codes, 'VerifyCode', { authyId: state.user, code })
  console.log(`code: ${result}`)
  keep({ verified: result === 'CODE_RESULT_ACCEPTED' })
}
if (!state.asked) {
  const request = { authyId: state.user, message: 'Log in?', requestId: `login-${state.enrollment.enrollmentId}` }
  keep({ asked: (await call(approvals, 'CreateApproval', request)).approval })
}
if (!state.decision) {
  console.log(`number: ${state.asked.matchNumber}`)
  let answer = state.asked
  const request = () => ({ approvalId: answer.approvalId, afterRevision: answer.revision, heartbeat: true })
  const done = () => answer.state !== 'APPROVAL_STATE_PENDING'
  for await (const { approval } of watch(approvals, 'WatchApproval', request, done)) answer = approval ?? answer
  keep({ decision: verifyReceipt(answer, state.asked, SITE, state.keys).decision })
  console.log(`receipt: ${state.decision}`)
}
for await (const { event, cursor } of watch(feed, 'WatchEvents', () => ({ cursor: state.cursor }), () => false)) {
  // Yours writes what the event brings about and the cursor in one transaction.
  keep({ cursor })
  if (event) console.log(`event: ${event.eventId} ${event.type}`)
}
