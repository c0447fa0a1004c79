-- What is to be done for a challenge whose time has come: send, step on, expire, or nothing.
--
-- KEYS  the three of state.lua
-- ARGV  1 event id  2 head  3 lease of a send in ms  4 most tries of one delivery  5 challenge id
-- Returns {'send', state, event…} with the current delivery to be sent, {'changed', state, event…} or {'idle'}

local event_id, head = ARGV[1], ARGV[2]

local function settle_as_failed(state, delivery, reason)
  delivery.status, delivery.reason, delivery.final_at = 'failed', reason, now
  emit(event_id, head, 'delivery.settled', state,
    member('delivery', delivery.id) .. member('channel', delivery.channel) .. member('status', 'failed')
    .. member('reason', reason))
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

local function tell_if_undeliverable()
  if state.status == 'undeliverable' then emit(event_id, head, 'challenge.undeliverable', state) end
end

if now >= state.expires_at then
  settle_challenge(state, 'expired')
  emit(event_id, head, 'challenge.expired', state)
  return {'changed', save_state(challenge_key, state), unpack(events)}
end

local delivery = current_delivery(state)
if delivery.status == 'queued' and delivery.tries >= tonumber(ARGV[4]) then
  settle_as_failed(state, delivery, 'supplier_down')
  step_on(state)
  tell_if_undeliverable()
elseif delivery.tries > 0 and state.next_at > 0 and now >= state.next_at then
  if delivery.status == 'sent' then delivery.reason = 'timeout' end
  step_on(state)
  emit(event_id, head, 'challenge.stepped', state,
    member('reason', 'timeout') .. member('channel', current_delivery(state).channel))
elseif delivery.status ~= 'queued' then
  wait_until(state, state.next_at > 0 and math.min(state.next_at, state.expires_at) or state.expires_at)
  return {'idle'}
end

delivery = current_delivery(state)
if state.status ~= 'pending' or delivery.status ~= 'queued' then
  return {'changed', save_state(challenge_key, state), unpack(events)}
end
delivery.tries = delivery.tries + 1
if delivery.tries == 1 then state.next_at = step_ends_at(state) end
local lease_ends_at = now + tonumber(ARGV[3])
wait_until(state, state.next_at > 0 and math.min(lease_ends_at, state.next_at) or lease_ends_at)
emit(event_id, head, 'delivery.attempted', state,
  member('delivery', delivery.id) .. member('channel', delivery.channel) .. member('try', delivery.tries))
return {'send', save_state(challenge_key, state), unpack(events)}
