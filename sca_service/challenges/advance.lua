-- What is to be done for a challenge whose time has come: send, step on, expire, or nothing.
--
-- KEYS  the three of state.lua
-- ARGV  1 event id  2 head  3 lease of a send in ms  4 most tries of one delivery  5 challenge id
--       6 the channel for which the caller chose a route, from the state as it was claimed ('' when nothing was due)
--       7 supplier ('' when there is no route)  8 why there is none  9 the route as text, kept and not looked into
--       10 members of the attempt's event, or of the one that says that there is no route  11 its price  12 its parts
--       13 until when the caller leased it (0: nobody asks)  14 '1' when there is no route now but may be in a while
-- Returns {'send', state, event…} with the current delivery to be sent over that route, {'changed', state, event…} or
-- {'idle'}

local PATIENCE_MS = 60000 -- so long after it was queued the last channel's message waits for a route

local event_id, head = ARGV[1], ARGV[2]
local channel, supplier, no_route = ARGV[6], ARGV[7], ARGV[8]
local leased_until, may_pass = tonumber(ARGV[13]), ARGV[14] == '1'

-- The lease went to another worker, or somebody else has set the timer: nobody sends twice.
if leased_until > 0 and tonumber(redis.call('ZSCORE', due_key, ARGV[5]) or 0) ~= leased_until then return {'idle'} end

local function settle_as_failed(state, delivery, reason, members)
  delivery.status, delivery.reason, delivery.final_at = 'failed', reason, now
  emit(event_id, head, 'delivery.settled', state,
    member('delivery', delivery.id) .. member('channel', delivery.channel) .. member('status', 'failed')
    .. member('reason', reason) .. (members or ''))
end

local state = load_state(challenge_key)
if not state or state.status ~= 'pending' then
  redis.call('ZREM', due_key, ARGV[5])
  if not state then return {'idle'} end
  for _, left in ipairs(state.deliveries) do
    if left.status == 'queued' then settle_as_failed(state, left, 'worker_lost') end
  end
  if #events == 0 then return {'idle'} end
  return {'changed', save_state(challenge_key, state), unpack(events)}
end

if now >= state.expires_at then
  settle_challenge(state, 'expired')
  emit(event_id, head, 'challenge.expired', state)
  return {'changed', save_state(challenge_key, state), unpack(events)}
end

if #state.deliveries == 0 then -- nothing is ever sent for it
  wait_until(state, state.expires_at)
  return {'idle'}
end

local delivery = current_delivery(state)
if delivery.status == 'queued' and delivery.tries >= tonumber(ARGV[4]) then
  settle_as_failed(state, delivery, is_in_hand(delivery) and 'worker_lost' or delivery.reason)
  step_on(state, failure_of(delivery))
  tell_if_undeliverable(event_id, head, state)
elseif delivery.tries > 0 and state.next_at > 0 and now >= state.next_at then
  if delivery.status == 'sent' then delivery.reason = 'timeout' end
  step_on(state, 'timeout')
  emit(event_id, head, 'challenge.stepped', state,
    member('reason', 'timeout') .. member('channel', current_delivery(state).channel))
elseif delivery.status ~= 'queued' then
  wait_until(state, state.next_at > 0 and math.min(state.next_at, state.expires_at) or state.expires_at)
  return {'idle'}
end

delivery = current_delivery(state)
local is_due = state.status == 'pending' and delivery.status == 'queued'
if is_due and delivery.channel == channel and supplier == '' and may_pass and not steps_on_for(state, 'supplier_down')
    and now < delivery.queued_at + PATIENCE_MS then
  -- Nothing follows: better late than never. The longer it has waited, the longer it waits again.
  wait_for_delivery(state, now + math.min(math.max(now - delivery.queued_at, 2000), 10000))
elseif is_due and delivery.channel == channel and supplier == '' then
  settle_as_failed(state, delivery, is_in_hand(delivery) and 'worker_lost' or no_route, ARGV[10])
  step_on(state, failure_of(delivery))
  tell_if_undeliverable(event_id, head, state)
elseif is_due and delivery.channel == channel then
  delivery.tries = delivery.tries + 1
  delivery.supplier, delivery.route, delivery.cost = supplier, ARGV[9], ARGV[11]
  delivery.segments = tonumber(ARGV[12])
  -- 0 when an earlier message turned out to have arrived: then nothing follows by time any more.
  if delivery.tries == 1 and state.next_at > 0 then state.next_at = step_ends_at(state) end
  wait_for_delivery(state, now + tonumber(ARGV[3]))
  emit(event_id, head, 'delivery.attempted', state,
    member('delivery', delivery.id) .. member('channel', delivery.channel) .. member('try', delivery.tries) .. ARGV[10])
  return {'send', save_state(challenge_key, state), unpack(events)}
end
-- No route was chosen for what is due now (it was stepped on to meanwhile): its own timer brings it up again.
if #events == 0 then return {'idle'} end
return {'changed', save_state(challenge_key, state), unpack(events)}
