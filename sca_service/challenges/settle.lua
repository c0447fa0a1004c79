-- What became of a delivery: the supplier's answer to the submit, or its receipt, in whatever order they come.
--
-- KEYS  the three of state.lua
-- ARGV  1 event id  2 head  3 delivery id  4 status  5 reason  6 supplier  7 segments  8 cost
--       9 '1' when the failure is transient  10 ms to wait before another try  11 which try it was (0: nobody counted)
-- Returns {'changed', state, event…}, {'ignored'} when it says nothing new, or {'not_found'}

local RANK = { queued = 0, sent = 1 }

local state = load_state(challenge_key)
if not state then return {'not_found'} end
local delivery
for _, candidate in ipairs(state.deliveries) do
  if candidate.id == ARGV[3] then delivery = candidate end
end
if not delivery then return {'not_found'} end

local event_id, head = ARGV[1], ARGV[2]
local status, reason, supplier = ARGV[4], ARGV[5], ARGV[6]

-- What was never sent cannot have arrived, and nobody can tell of it but the supplier that it was given to.
if delivery.tries == 0 then return {'ignored'} end
if supplier ~= '' and (delivery.supplier or '') ~= '' and supplier ~= delivery.supplier then return {'ignored'} end

local segments, cost = tonumber(ARGV[7]), ARGV[8]
local is_current = delivery == current_delivery(state)
local is_pending = state.status == 'pending'

if segments > 0 then delivery.segments = segments end
local is_other_price = cost ~= '' and cost ~= (delivery.cost or '')
if cost ~= '' then delivery.cost = cost end
if supplier ~= '' then delivery.supplier = supplier end

local is_receipt_of_uncertain = is_uncertain(delivery) and status ~= 'failed' and status ~= 'sent'
if (RANK[status] or 2) <= (RANK[delivery.status] or 2) and not is_receipt_of_uncertain then
  -- A receipt overtook the answer to the submit, or came twice: keep what the supplier said of cost, change nothing.
  if status == 'sent' and delivery.sent_at == 0 and delivery.status ~= 'skipped' then
    delivery.sent_at = delivery.final_at
    return {'changed', save_state(challenge_key, state)}
  end
  if is_other_price then return {'changed', save_state(challenge_key, state)} end -- some tell the price last
  return {'ignored'}
end

if status == 'failed' and ARGV[9] == '1' and is_current and is_pending then
  -- Told before, or by a worker whose lease is over while another one tries.
  local attempt = tonumber(ARGV[11])
  if not is_in_hand(delivery) or (attempt > 0 and attempt ~= delivery.tries) then return {'ignored'} end
  delivery.reason = reason
  delivery.tried = (delivery.tried or '') == '' and supplier or delivery.tried .. ' ' .. supplier
  wait_for_delivery(state, now + tonumber(ARGV[10]))
  emit(event_id, head, 'delivery.retried', state,
    member('delivery', delivery.id) .. member('channel', delivery.channel) .. member('reason', reason)
    .. member('supplier', supplier))
  return {'changed', save_state(challenge_key, state), unpack(events)}
end

delivery.status = status
delivery.reason = reason
if status == 'sent' then delivery.sent_at = now else delivery.final_at = now end
emit(event_id, head, 'delivery.settled', state,
  member('delivery', delivery.id) .. member('channel', delivery.channel) .. member('status', status)
  .. (reason ~= '' and member('reason', reason) or '') .. (supplier ~= '' and member('supplier', supplier) or ''))

if is_current and is_pending then
  local step = state.ladder[state.step]
  if FAILED[status] then
    step_on(state, failure_of(delivery))
    tell_if_undeliverable(event_id, head, state)
  elseif status == 'sent' and step.until_status ~= 'sent' and state.next_at > 0 then
    wait_until(state, math.min(state.next_at, state.expires_at))
  else
    state.next_at = 0
    wait_until(state, state.expires_at)
  end
elseif is_pending and (status == 'delivered' or status == 'answered') then
  state.next_at = 0 -- an earlier message arrived after all: the ladder does not step on by time any more
elseif is_pending and FAILED[status] and FAILED[current_delivery(state).status] then
  step_on(state, failure_of(current_delivery(state))) -- the last word that was outstanding
  tell_if_undeliverable(event_id, head, state)
end
return {'changed', save_state(challenge_key, state), unpack(events)}
