-- What every script of this room does with a challenge's state. Read in front of each script; queue.lua, ladder.lua and
-- limits.lua after it where they are needed: each function is made anew in each call.
--
-- KEYS of every script begin with the challenge, the partition's timers and its outbox. A payer's own keys are named
-- after the payer, whom the challenge's state tells; they carry the same hash tag. So everything is on one slot, and a
-- decision and its audit event are one atomic step.

local KEEP_MS = 3600000 -- a final challenge stays in Redis for an hour; after that PostgreSQL answers for it

local SETTLE_MS = 30000 -- a worker's send is over by then, one way or the other

local challenge_key, due_key, outbox_key = KEYS[1], KEYS[2], KEYS[3]
local partition = string.match(due_key, '^{p%d%d}:')

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

-- What a challenge goes on for that was issued before policies named reasons: anything.
local EVERY_REASON = 'undelivered timeout no_answer supplier_down no_device user_request sim_swap'

local function load_state(key)
  local packed = redis.call('GET', key)
  if not packed then return nil end
  local state = cmsgpack.unpack(packed)
  state.step_on = state.step_on or EVERY_REASON
  return state
end

local function save_state(key, state)
  state.revision = state.revision + 1
  local packed = cmsgpack.pack(state)
  redis.call('SET', key, packed, 'PX', math.max(state.expires_at - now, 0) + KEEP_MS)
  return packed
end

-- Audit events. `head` holds the members that are the same for all events of one call, as JSON text made by our own
-- encoder; what is added here are numbers and words of closed sets, so no text needs escaping.
local events = {} -- each event's text, then its place in the outbox

local function reference(name, value) -- RTS Art. 29: the session and the transaction, where there are such
  return value and value ~= '' and string.format(',"%s":"%s"', name, value) or ''
end

local function emit(event_id, head, kind, state, members)
  local suffix = #events > 0 and string.format('%02d', #events / 2) or ''
  local event = '{"id":"' .. event_id .. suffix .. '","type":"' .. kind .. '","at_ms":' .. string.format('%d', now)
    .. ',"client":"' .. state.client .. '","psu":"' .. state.payer .. '","challenge":"' .. state.id .. '",' .. head
    .. reference('session', state.session) .. reference('transaction', state.transaction) .. (members or '') .. '}'
  events[#events + 1] = event
  events[#events + 1] = redis.call('XADD', outbox_key, '*', 'event', event)
  return event_id .. suffix
end

local function member(name, value)
  if type(value) == 'number' then return string.format(',"%s":%d', name, value) end
  return string.format(',"%s":"%s"', name, value)
end

local function lockout_key(state) return partition .. 'lockout:' .. state.payer end
local function pending_key(state) return partition .. 'pending:' .. state.payer end
local function pushes_key(state) return partition .. 'pushes:' .. state.payer end

-- Whether an answer needs the payer's PIN beside the code: the purpose's digit of its id says so (challenges/model.py).
local function asks_pin(state) return tonumber(string.sub(state.id, 7, 7), 16) >= 8 end

-- Whether a code travels in its messages; else the payer's authenticator answers, woken by a message or not.
local function carries_code(state) return string.sub(state.id, 10, 10) ~= '0' end

local function blocked_until(state)
  local at = tonumber(redis.call('HGET', lockout_key(state), 'blocked_until') or 0)
  return at > now and at or 0
end

local function wait_until(state, at)
  redis.call('ZADD', due_key, at, state.id)
end

-- Whether a worker may be sending it: it was tried more often than suppliers said that they did not take it.
local function is_in_hand(delivery)
  local _, not_taken = string.gsub(delivery.tried or '', '%S+', '')
  return delivery.status == 'queued' and delivery.tries > not_taken
end

-- Take back what no worker is sending. Returns whether one is in a worker's hands.
local function take_back(delivery)
  if delivery.status ~= 'queued' then return false end
  if is_in_hand(delivery) then return true end
  delivery.status = 'skipped'
  delivery.final_at = now
  return false
end

-- A final status: nothing further is sent. While a worker still holds a delivery the timer stays, so that the delivery
-- is settled even if that worker died.
local function settle_challenge(state, status)
  state.status = status
  state.settled_at = now
  state.next_at = 0
  local in_hand = false
  for _, delivery in ipairs(state.deliveries) do in_hand = take_back(delivery) or in_hand end
  if in_hand then wait_until(state, now + SETTLE_MS) else redis.call('ZREM', due_key, state.id) end
  redis.call('ZREM', pending_key(state), state.id)
end
