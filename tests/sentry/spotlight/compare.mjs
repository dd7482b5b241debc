// Runs Spotlight, a server of Sentry's protocol, lets the program of the first argument and Sentry's SDK for Node.js
// report the same failure to it, and compares what it understood of both.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { createInterface } from 'node:readline'

const patience = AbortSignal.timeout(120000)
const free = createServer().listen(0, '127.0.0.1')
await once(free, 'listening')
const { port } = free.address()
free.close()

const server = spawn(
  process.execPath,
  ['node_modules/@spotlightjs/spotlight/dist/run.js', 'server', '--port', String(port)],
  { stdio: ['ignore', 'pipe', 'pipe'] },
)
process.on('exit', () => server.kill())
patience.addEventListener('abort', () => {
  console.error('Spotlight and the programs took too long')
  process.exit(1)
})
await new Promise((resolve, reject) => {
  for (const output of [server.stdout, server.stderr])
    createInterface({ input: output }).on('line', (line) => line.includes('listening on') && resolve())
  server.on('exit', () => reject(new Error('Spotlight ended')))
})

// What Spotlight has parsed comes as server-sent events: [header, [[item header, payload]...]].
const received = []
let arrived = () => {}
;(async () => {
  const stream = await fetch(`http://127.0.0.1:${port}/stream`, { signal: patience })
  let text = ''
  for await (const chunk of stream.body.pipeThrough(new TextDecoderStream())) {
    text += chunk
    for (let end; (end = text.indexOf('\n\n')) >= 0; text = text.slice(end + 2)) {
      const data = text.slice(0, end).split('\n').filter((line) => line.startsWith('data:'))
      if (data.length > 0) received.push(JSON.parse(data.map((line) => line.slice(5)).join('\n')))
      arrived()
    }
  }
})().catch(() => {})

/// Runs a program and returns what the server got from it: the envelopes that hold an event.
async function envelopes(command, args, count) {
  const before = received.length
  const program = spawn(command, args, { stdio: 'inherit' })
  const [status] = await once(program, 'exit')
  assert.equal(status, 0, `${command} failed`)
  const events = () => received.slice(before).filter(([, items]) => items.some(([item]) => item.type === 'event'))
  while (events().length < count) await new Promise((resolve) => (arrived = resolve))
  return events().sort(([, [[, a]]], [, [[, b]]]) => Number('exception' in b) - Number('exception' in a))
}

const ours = await envelopes(process.argv[2], [`http://0123456789abcdef@127.0.0.1:${port}/7`], 2)
const theirs = await envelopes(process.execPath, ['sdk.mjs', `http://0123456789abcdef@127.0.0.1:${port}/8`], 2)

const time = (value) => (typeof value === 'number' ? value * 1000 : Date.parse(value))
const isId = (value) => assert.match(value, /^[0-9a-f]{32}$/)
const isNow = (value) => assert.ok(Math.abs(time(value) - Date.now()) < 300000, `${value} is not now`)
const isText = (value) => assert.ok(typeof value === 'string' && value !== '')

/// What a server needs of an event, whoever sent it.
function check([header, [[item, event]]]) {
  isId(header.event_id)
  isNow(header.sent_at)
  assert.equal(item.type, 'event')
  assert.equal(event.event_id, header.event_id)
  isNow(event.timestamp)
  assert.equal(event.release, 'acme@1.4.0')
  assert.equal(event.tags.plugin, 'aws')
  isText(event.platform)
  isText(event.server_name)
  isText(event.sdk.name)
  isText(event.sdk.version)
  isText(event.contexts.os.name)
  isText(event.contexts.runtime.name)
  const crumbs = Array.isArray(event.breadcrumbs) ? event.breadcrumbs : event.breadcrumbs.values
  const crumb = crumbs.find((one) => one.category === 'sync')
  assert.equal(crumb.message, 'started')
  assert.equal(crumb.level, 'info')
  isNow(crumb.timestamp)
  return event
}

for (const [exception, message] of [ours, theirs]) {
  const error = check(exception)
  assert.equal(error.level ?? 'error', 'error')
  const values = error.exception.values
  assert.deepEqual(
    values.map(({ value }) => value),
    ['no space left on device', 'the sync failed'],
  )
  for (const { type, mechanism } of values) {
    isText(type)
    isText(mechanism.type)
    assert.equal(typeof mechanism.handled, 'boolean')
  }
  const { frames } = values.at(-1).stacktrace
  assert.ok(frames.length >= 1)
  isText(frames.at(-1).filename)
  assert.ok(Number.isInteger(frames.at(-1).lineno))
  const warning = check(message)
  assert.equal(warning.level, 'warning')
  assert.equal(warning.message.formatted ?? warning.message, 'that was all')
}

// What only a native program has: addresses that a server finds the functions of.
const [error] = ours.map(check)
assert.equal(error.platform, 'native')
assert.equal(error.server_name, 'oss')
assert.deepEqual(
  error.exception.values.map(({ type }) => type),
  ['std::runtime_error', 'std::logic_error'],
)
if (process.platform === 'linux') {
  for (const frame of error.exception.values[1].stacktrace.frames) {
    const address = Number(frame.instruction_addr)
    assert.ok(
      error.debug_meta.images.some(({ image_addr, image_size }) => address >= Number(image_addr) && address < Number(image_addr) + image_size),
      `no image holds ${frame.instruction_addr}`,
    )
  }
  for (const image of error.debug_meta.images) {
    assert.equal(image.type, 'elf')
    assert.match(image.debug_id, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
    assert.match(image.code_id, /^[0-9a-f]{40}$/)
  }
}
console.log('the server understood both')
process.exit(0)
