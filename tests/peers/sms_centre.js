// An SMS centre made of node-smpp. Arguments: {"key", "cert"} in JSON, empty for no TLS; the port, 0 for any free one.
// Tells what comes in and takes what it shall do as one JSON object a line, on standard output and input.
'use strict'
const readline = require('readline')
const smpp = require('smpp')

smpp.addTLV('dlt_entity', { id: 0x1400, type: smpp.types.tlv.string })
smpp.addTLV('dlt_template', { id: 0x1401, type: smpp.types.tlv.string })
smpp.addTLV('dlt_telemarketer', { id: 0x1402, type: smpp.types.tlv.string })

const tell = (event, fields) => process.stdout.write(JSON.stringify({ event, ...fields }) + '\n')
const sessions = new Map()
const submits = new Map()
let count = 0
let bindStatus = 0
let isMute = false

const textOf = (field) => (Buffer.isBuffer(field?.message) ? field.message.toString('hex') : field?.message)

const server = smpp.createServer(JSON.parse(process.argv[2] || '{}'), (session) => {
  const number = ++count
  sessions.set(number, session)
  session.on('error', () => {})
  session.on('close', () => {
    sessions.delete(number)
    tell('closed', { session: number })
  })
  session.on('bind_transceiver', (pdu) => {
    tell('bind', { session: number, system_id: pdu.system_id, password: pdu.password, version: pdu.interface_version })
    session.send(pdu.response({ command_status: bindStatus, system_id: 'centre' }))
  })
  session.on('enquire_link', (pdu) => {
    tell('enquire', { session: number })
    if (!isMute) session.send(pdu.response())
  })
  session.on('unbind', (pdu) => {
    tell('unbind', { session: number })
    session.send(pdu.response())
    session.close()
  })
  session.on('submit_sm', (pdu) => {
    const key = `${number}/${pdu.sequence_number}`
    submits.set(key, { session, pdu })
    const { command, command_id, command_length, command_status, short_message, message_payload, ...fields } = pdu
    tell('submit', {
      ...fields,
      key,
      session: number,
      text: textOf(short_message),
      header: short_message?.udh?.map((element) => element.toString('hex')),
      payload: textOf(message_payload),
    })
  })
})

const commands = {
  answer({ key, status, id }) {
    const { session, pdu } = submits.get(key)
    submits.delete(key)
    session.send(pdu.response({ command_status: status, message_id: id }))
  },
  deliver({ session, label, fields }) {
    if (fields.text_hex) fields.short_message = Buffer.from(fields.text_hex, 'hex')
    sessions.get(session).deliver_sm(fields, (pdu) => tell('delivered', { label, status: pdu.command_status }))
  },
  drop({ session }) {
    sessions.get(session)?.destroy()
  },
  unbind({ session }) {
    sessions.get(session).unbind()
  },
  enquire({ session }) {
    sessions.get(session).enquire_link((pdu) => tell('enquired', { status: pdu.command_status }))
  },
  garble({ session, hex }) {
    sessions.get(session).socket.write(Buffer.from(hex, 'hex'))
  },
  sessions() {
    tell('sessions', { sessions: [...sessions.keys()] })
  },
  rules({ bind_status, mute }) {
    bindStatus = bind_status
    isMute = mute
  },
}

readline
  .createInterface({ input: process.stdin })
  .on('line', (line) => {
    const command = JSON.parse(line)
    commands[command.do](command)
  })
  .on('close', () => process.exit(0))

server.listen(Number(process.argv[3] || 0), '127.0.0.1', () => tell('listening', { port: server.address().port }))
