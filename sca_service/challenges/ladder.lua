-- How the ladder goes on. Read after queue.lua.

local function current_delivery(state)
  return state.deliveries[#state.deliveries]
end

-- Wait for the current delivery, as long as its step and the challenge last.
local function wait_for_delivery(state, at)
  if state.next_at > 0 and current_delivery(state).tries > 0 then at = math.min(at, state.next_at) end
  wait_until(state, math.min(at, state.expires_at))
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
