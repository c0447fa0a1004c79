-- Send over the next channel now, because the payer asked: the same code, after a cool-down that grows.
--
-- KEYS  the three of state.lua, then the payer's limits
-- ARGV  1 event id  2 head  3 client  4 first cool-down in ms  5 factor of its growth
--       6 longest cool-down in ms  7 a channel that is put before the next one ('' for none)  8 its time-out in ms
--       9 the delivery status that ends its waiting  10… ms each and burst of the limits
-- Returns {'stepped', state, event…}, {'cooldown'|'limited', ms to wait}, {'no_more'}, {'final'} or {'not_found'}

local state = load_state(challenge_key)
if not state or state.client ~= ARGV[3] then return {'not_found'} end
if state.status ~= 'pending' or now >= state.expires_at then return {'final'} end
if ARGV[7] ~= '' then
  table.insert(state.ladder, state.step + 1,
    {channel = ARGV[7], timeout_ms = tonumber(ARGV[8]), until_status = ARGV[9]})
end
if not steps_on_for(state, 'user_request') then return {'no_more'} end
if now < state.resend_at then return {'cooldown', state.resend_at - now} end
local wait_ms = spend_limits(4, 10)
if wait_ms > 0 then return {'limited', wait_ms} end

step_on(state, 'user_request')
state.resends = state.resends + 1
state.resend_at = now + math.min(tonumber(ARGV[4]) * tonumber(ARGV[5]) ^ (state.resends - 1), tonumber(ARGV[6]))
emit(ARGV[1], ARGV[2], 'challenge.stepped', state,
  member('reason', 'user_request') .. member('channel', current_delivery(state).channel))
return {'stepped', save_state(challenge_key, state), unpack(events)}
