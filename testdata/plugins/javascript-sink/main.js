#!/usr/bin/node
// A sink that appends datapoints to a file, as lines "metric value timestamp". It
// is made of sdk/PROTOCOL.md and sdk/fluxgate.proto alone, without any library.
'use strict'
const fs = require('fs')
const http2 = require('http2')
const path = require('path')

// Protobuf, as far as these messages need it.

function varint(n) {
  return n < 128 ? [n] : [n & 127 | 128, ...varint(n >> 7)]
}

function field(number, bytes) {
  bytes = Buffer.from(bytes)
  return Buffer.concat([Buffer.from([...varint(number << 3 | 2), ...varint(bytes.length)]), bytes])
}

function readVarint(buffer, at) {
  let n = 0n
  for (let shift = 0n; ; shift += 7n) {
    const byte = buffer[at++]
    n |= BigInt(byte & 127) << shift
    if (byte < 128) return [n, at]
  }
}

// fields returns the values of a message that have a length, by field number.
function fields(message) {
  const found = {}
  for (let at = 0, key, size; at < message.length; at += Number(size)) {
    [key, at] = readVarint(message, at);
    [size, at] = readVarint(message, at)
    const number = Number(key >> 3n)
    found[number] = [...found[number] || [], message.subarray(at, at + Number(size))]
  }
  return found
}

function integers(packed) {
  const found = []
  for (let at = 0, n; at < packed.length; found.push(BigInt.asIntN(64, n))) [n, at] = readVarint(packed, at)
  return found
}

// The plugin.

const nothing = Buffer.alloc(0)

class Refusal extends Error {
  constructor(code, text) {
    super(text)
    this.code = code
  }
}

const invalid = text => new Refusal(3, 'invalid: ' + text)
const unavailable = text => new Refusal(14, 'unavailable: ' + text)

const plugin = { file: null, drained: false }

function opened() {
  if (plugin.file === null || plugin.drained) throw unavailable('the plugin is not open')
}

function open(config) {
  const kind = String(config[2] || '')
  if (kind !== 'sink') throw invalid(`this program is a plugin of kind sink, and is configured as ${kind}`)
  if (plugin.file !== null) throw invalid('the plugin is already open')
  const settings = JSON.parse(config[1])
  for (const name in settings) if (name !== 'path') throw invalid(`unknown setting "${name}": did you mean "path"?`)
  plugin.file = settings.path
  return nothing
}

function write(batch) {
  opened()
  const [timestamps, values] = [integers((batch[2] || [nothing])[0]), (batch[3] || [nothing])[0]]
  const lines = (batch[1] || []).map((metric, i) =>
    Buffer.concat([metric, Buffer.from(` ${values.readDoubleLE(8 * i)} ${timestamps[i]}\n`)]))
  try {
    fs.appendFileSync(plugin.file, Buffer.concat(lines))
  } catch (err) {
    throw unavailable(err.message)
  }
  return nothing
}

const setting = Buffer.concat([field(1, 'path'), field(2, 'text'), field(4, 'file that lines are appended to')])

const methods = {
  '/grpc.health.v1.Health/Check': () => Buffer.from([8, 1]),
  '/plugin.GRPCController/Shutdown': () => { server.close(); setTimeout(leave, 50); return nothing },
  '/fluxgate.v1.Plugin/Describe': () => Buffer.concat([field(1, 'sink'), field(2, '1.0'), field(3, setting)]),
  '/fluxgate.v1.Plugin/Open': open,
  '/fluxgate.v1.Plugin/Check': () => { opened(); return nothing },
  '/fluxgate.v1.Plugin/Drain': () => { plugin.drained = true; return nothing }, // no call waits for anything
  '/fluxgate.v1.Sink/Write': write,
}

// gRPC: a message is a byte, its length in four, and itself.

function answer(stream, method, frame) {
  const headers = { ':status': 200, 'content-type': 'application/grpc' }
  try {
    if (!method) throw new Refusal(12, 'unknown method')
    if (frame.length - 5 > limit) throw new Refusal(8, 'message above the limit')
    const message = method(fields(frame.subarray(5)))
    const head = Buffer.alloc(5)
    head.writeUInt32BE(message.length, 1)
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }))
    stream.respond(headers, { waitForTrailers: true })
    stream.end(Buffer.concat([head, message]))
  } catch (err) {
    const text = encodeURIComponent(err.message.slice(0, 1000))
    stream.respond({ ...headers, 'grpc-status': String(err.code || 13), 'grpc-message': text }, { endStream: true })
  }
}

// The process.

if (process.env.PLUGIN_OF_FLUXGATE !== 'fluxgate.v1') {
  console.error(`${process.argv[1]} is a plugin of Fluxgate, of kind sink: fluxgate starts it when its configuration names it`)
  process.exit(1)
}
const limit = Number(process.env.PLUGIN_MESSAGE_LIMIT || 33 << 20)
const folder = process.env.PLUGIN_UNIX_SOCKET_DIR || '/tmp'
const socket = path.join(folder, 'plugin' + process.pid)
const host = process.ppid

function leave() {
  fs.rmSync(socket, { force: true })
  process.exit(0)
}

setInterval(() => {
  if (process.ppid === host) return
  fs.rmSync(socket, { force: true })
  try { fs.rmdirSync(folder) } catch { /* of the host's plugins the last succeeds */ }
  leave()
}, 1000)
process.on('SIGINT', () => {}) // a terminal's is for the host

const server = http2.createServer({ settings: { initialWindowSize: 1 << 20 } })
server.on('stream', (stream, headers) => {
  const chunks = []
  stream.on('error', () => {}) // the host has given the call up
  stream.on('data', chunk => chunks.push(chunk))
  stream.on('end', () => stream.destroyed || answer(stream, methods[headers[':path']], Buffer.concat(chunks)))
})
const version = (process.env.PLUGIN_PROTOCOL_VERSIONS || '').split(',').includes('2') ? 2 : 1
server.listen(socket, () => process.stdout.write(`1|${version}|unix|${socket}|grpc|\n`))
