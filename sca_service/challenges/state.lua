-- What every script of this room does with a challenge's state. Read in front of each script.
--
-- KEYS of every script begin with the challenge, the partition's timers and its outbox. A payer's own keys are named
-- after the payer, whom the challenge's state tells; they carry the same hash tag. So everything is on one slot, and a
-- decision and its audit event are one atomic step.

local KEEP_MS = 3600000 -- a final challenge stays in Redis for an hour; after that PostgreSQL answers for it

local SETTLE_MS = 30000 -- a worker's send is over by then, one way or the other
local RECORD_MS = 4500 -- by then a decision is on record, even when the process that took it was killed (audit/drain.py)

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
  local event = string.format('{"id":"%s%s","type":"%s","at_ms":%d,"client":"%s","psu":"%s","challenge":"%s",%s%s%s%s}',
    event_id, suffix, kind, now, state.client, state.payer, state.id, head,
    reference('session', state.session), reference('transaction', state.transaction), members or '')
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

-- Failures in a row that count against this challenge.
local function failures_of(state)
  local failures = tonumber(redis.call('HGET', lockout_key(state), 'failures') or 0)
  if not asks_pin(state) then return failures end
  return math.max(failures, tonumber(redis.call('HGET', lockout_key(state), 'pin_failures') or 0))
end

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

-- The ladder. A delivery's id is the challenge's id and its number.
local function current_delivery(state)
  return state.deliveries[#state.deliveries]
end

-- Wait for the current delivery, as long as its step and the challenge last.
local function wait_for_delivery(state, at)
  if state.next_at > 0 and current_delivery(state).tries > 0 then at = math.min(at, state.next_at) end
  wait_until(state, math.min(at, state.expires_at))
end

-- Whether there is a further channel, and the policy goes on to it for this reason.
local function steps_on_for(state, reason)
  if state.step >= #state.ladder then return false end
  return string.find(' ' .. state.step_on .. ' ', ' ' .. reason .. ' ', 1, true) ~= nil
end

-- When the current step ends by time; 0 when nothing follows then.
local function step_ends_at(state)
  return steps_on_for(state, 'timeout') and now + state.ladder[state.step].timeout_ms or 0
end

local function queue_delivery(state)
  local step = state.ladder[state.step]
  state.deliveries[#state.deliveries + 1] = {
    id = string.format('dlv_%s%02x', string.sub(state.id, 5), #state.deliveries + 1),
    channel = step.channel, status = 'queued', queued_at = now, sent_at = 0, final_at = 0, tries = 0,
  }
  state.next_at = step_ends_at(state)
  wait_until(state, now + RECORD_MS) -- write the log, then act: release.lua brings it forward once it is on record
end

local FAILED = { failed = true, undelivered = true, no_answer = true, skipped = true }

-- Nobody knows whether such a message arrived: the supplier gave no answer in time, or the worker died while sending.
local UNCERTAIN = { timeout = true, worker_lost = true }

local function is_uncertain(delivery) return delivery.status == 'failed' and UNCERTAIN[delivery.reason] == true end

-- What a policy calls the reasons for which a delivery comes to nothing. Any other is the supplier's.
local STEP_REASON = { timeout = 'timeout', no_device = 'no_device', undelivered = 'undelivered', no_answer = 'no_answer' }

-- Why the ladder would leave a delivery that failed.
local function failure_of(delivery)
  return STEP_REASON[delivery.status] or STEP_REASON[delivery.reason] or 'supplier_down'
end

-- On to the next channel, with the same code. Returns false when there is none, or none for this reason: the challenge
-- is undeliverable when every delivery surely failed, and waits for its answer when one may have arrived or none was
-- needed.
local function step_on(state, reason)
  if steps_on_for(state, reason) then
    take_back(current_delivery(state))
    state.step = state.step + 1
    queue_delivery(state)
    return true
  end
  state.next_at = 0
  for _, delivery in ipairs(state.deliveries) do
    if not carries_code(state) or not FAILED[delivery.status] or is_uncertain(delivery) then
      wait_until(state, state.expires_at)
      return false
    end
  end
  settle_challenge(state, 'undeliverable')
  state.why = reason
  return false
end

local function tell_if_undeliverable(event_id, head, state)
  if state.status == 'undeliverable' then
    emit(event_id, head, 'challenge.undeliverable', state, member('reason', state.why))
  end
end

-- GCRA over several limits at once: all are spent or none is. From KEYS[first_key] on stand the limits' keys, from
-- ARGV[first_argument] on ms each and burst of each.
-- Returns 0, or the ms to wait until all of them would let one more pass; and how many ms ahead of the clock each is
-- spent now, between spaces. The arithmetic is limits/model.py's.
local function spend_limits(first_key, first_argument)
  local tats, spent, ahead, wait = {}, {}, {}, 0
  for at = first_key, #KEYS do
    local interval_ms = tonumber(ARGV[first_argument + 2 * (at - first_key)])
    local burst = tonumber(ARGV[first_argument + 2 * (at - first_key) + 1])
    tats[at] = math.max(tonumber(redis.call('GET', KEYS[at]) or 0), now)
    spent[at] = tats[at] + interval_ms
    wait = math.max(wait, spent[at] - now - burst * interval_ms)
  end
  for at = first_key, #KEYS do
    local spent_ms = wait > 0 and tats[at] or spent[at]
    if wait == 0 then redis.call('SET', KEYS[at], string.format('%d', spent_ms), 'PX', math.ceil(spent_ms - now)) end
    ahead[#ahead + 1] = string.format('%d', spent_ms - now)
  end
  return math.ceil(wait), table.concat(ahead, ' ')
end
