// Receives webhooks: `SECRET=whsec_… node webhook.mjs` listens on 9000. It needs Node 18 or newer and nothing else.

import { createHmac, timingSafeEqual } from 'node:crypto'
import { createServer } from 'node:http'

const AGE = 300
const { SECRET, PORT = '9000' } = process.env
// Yours is a table with a unique column, written in the transaction of what the event brings about.
const seen = new Set()

/** The event of a post that is signed (Standard Webhooks) and not old; throws where it is not. `body` is as it came. */
export function verifyWebhook (secret, headers, body, now = Date.now() / 1000) {
  const { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signatures } = headers
  if (!id || !/^[0-9]{1,15}$/.test(timestamp ?? '') || !signatures) throw new Error('headers are missing')
  if (Math.abs(now - Number(timestamp)) > AGE) throw new Error('too old, or from the future')
  const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64')
  const right = createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest()
  // While a secret is being replaced there are two.
  const good = signatures.split(' ').some(each => {
    const [version, signature] = each.split(',', 2)
    const given = Buffer.from(signature ?? '', 'base64')
    return version === 'v1' && given.length === right.length && timingSafeEqual(given, right)
  })
  if (!good) throw new Error('not signed with this secret')
  return { id, ...JSON.parse(body) }
}

createServer(async (request, response) => {
  try {
    const parts = []
    for await (const part of request) parts.push(part)
    const event = verifyWebhook(SECRET, request.headers, Buffer.concat(parts))
    if (!seen.has(event.id)) console.log(`event: ${event.id} ${event.type}`)
    seen.add(event.id)
    response.writeHead(204).end()
  } catch (error) {
    response.writeHead(400).end(error.message)
  }
}).listen(Number(PORT), '127.0.0.1', function () { console.log(`listens: ${this.address().port}`) })
