#!/usr/bin/node
// A sink that appends datapoints to a file, as lines "metric value timestamp". It
// is made of sdk/PROTOCOL.md and sdk/fluxgate.proto alone, without any library.
'use strict'
const fs = require('fs')
const http2 = require('http2')
const net = require('net')
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

// fields returns the values of a message by field number: bytes, or a number.
function fields(message) {
  const found = {}
  for (let at = 0, key, value; at < message.length;) {
    [key, at] = readVarint(message, at);
    [value, at] = readVarint(message, at)
    if ((key & 7n) === 2n) [value, at] = [message.subarray(at, at + Number(value)), at + Number(value)]
    const number = Number(key >> 3n)
    found[number] = [...found[number] || [], value]
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
  return config[3] ? field(1, offer()) : nothing
}

function write(batch) {
  const [timestamps, values] = [integers((batch[2] || [nothing])[0]), (batch[3] || [nothing])[0]]
  store((batch[1] || []).map((metric, i) => line(metric, values.readDoubleLE(8 * i), timestamps[i])))
  return nothing
}

const line = (metric, value, timestamp) => Buffer.concat([metric, Buffer.from(` ${value} ${timestamp}\n`)])

function store(lines) {
  opened()
  try {
    fs.appendFileSync(plugin.file, Buffer.concat(lines))
  } catch (err) {
    throw unavailable(err.message)
  }
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

// The data socket.

class Nonsense extends Error {}

// offer returns the path of a data socket, at which one host is awaited.
function offer() {
  const listener = net.createServer(connection => { listener.close(); serve(connection) }) // which removes it
  listener.listen(dataSocket)
  setTimeout(() => listener.close(), 10_000).unref()
  return dataSocket
}

function serve(connection) {
  let rest = nothing
  connection.on('error', () => {}) // the host is gone
  connection.on('data', chunk => {
    rest = Buffer.concat([rest, chunk])
    try {
      for (let size; rest.length >= 16 && rest.length >= 16 + (size = frameSize(rest)); rest = rest.subarray(16 + size)) {
        if (rest.readUInt32LE(4) === 1) connection.write(answered(rest.subarray(8, 16), rest.subarray(16, 16 + size)))
      }
    } catch (err) {
      console.error(err.message)
      connection.destroy()
    }
  })
}

function frameSize(header) {
  const [size, kind] = [header.readUInt32LE(0), header.readUInt32LE(4)]
  if (size > limit || kind !== 1 && kind !== 3) throw new Nonsense(`frame of kind ${kind} and ${size} bytes`)
  return size
}

// answered returns the answer to a call, whose number is 8 bytes: an outcome.
function answered(call, data) {
  let [code, text] = [0, nothing]
  try {
    store(batchesOf(data))
  } catch (err) {
    if (!(err instanceof Refusal)) throw err
    code = err.code
    text = Buffer.from(err.message.slice(0, 1000))
  }
  const [head, outcome] = [Buffer.alloc(8), Buffer.alloc(8)]
  head.writeUInt32LE(outcome.length + text.length)
  head.writeUInt32LE(2, 4)
  outcome.writeUInt32LE(code)
  outcome.writeUInt32LE(text.length, 4)
  return Buffer.concat([head, call, outcome, text])
}

// batchesOf returns the lines of a call's batches.
function batchesOf(data) {
  const lines = []
  let at = 12
  for (let left = number(data, 8); left > 0; left--) {
    const size = number(data, at)
    if (at + 4 + size > data.length) throw new Nonsense('a batch that is not there')
    columns(data.subarray(at + 4, at + 4 + size), lines)
    at += 4 + size
  }
  if (at !== data.length) throw new Nonsense('bytes to spare')
  return lines
}

function columns(data, lines) {
  const n = number(data, 0)
  let at = 4 + 20 * n
  for (let i = 0; i < n && at <= data.length; i++) {
    const size = data.readUInt32LE(4 + 16 * n + 4 * i)
    lines.push(line(data.subarray(at, at + size), data.readDoubleLE(4 + 8 * n + 8 * i), data.readBigInt64LE(4 + 8 * i)))
    at += size
  }
  if (at !== data.length) throw new Nonsense('a batch that is longer or shorter than it says')
}

function number(data, at) {
  if (at + 4 > data.length) throw new Nonsense('a number that is not there')
  return data.readUInt32LE(at)
}

// The process.

if (process.env.PLUGIN_OF_FLUXGATE !== 'fluxgate.v1') {
  console.error(`${process.argv[1]} is a plugin of Fluxgate, of kind sink: fluxgate starts it when its configuration names it`)
  process.exit(1)
}
const limit = Number(process.env.PLUGIN_MESSAGE_LIMIT || 33 << 20)
const folder = process.env.PLUGIN_UNIX_SOCKET_DIR || '/tmp'
const socket = path.join(folder, 'plugin' + process.pid)
const dataSocket = path.join(folder, 'data' + process.pid)
const host = process.ppid

function tidy() {
  for (const file of [socket, dataSocket]) fs.rmSync(file, { force: true })
}

function leave() {
  tidy()
  process.exit(0)
}

setInterval(() => {
  if (process.ppid === host) return
  tidy()
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
