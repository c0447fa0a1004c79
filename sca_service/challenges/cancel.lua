-- Cancel a challenge. Cancelling a final one changes nothing.
--
-- KEYS  the three of state.lua
-- ARGV  1 event id  2 head  3 client  4 why
-- Returns {'cancelled', state, event…}, {'final', state} or {'not_found'}

local state = load_state(challenge_key)
if not state or state.client ~= ARGV[3] then return {'not_found'} end
if state.status ~= 'pending' then return {'final', redis.call('GET', challenge_key)} end

if now >= state.expires_at then
  settle_challenge(state, 'expired')
  emit(ARGV[1], ARGV[2], 'challenge.expired', state)
else
  settle_challenge(state, 'cancelled')
  if ARGV[4] ~= 'client_request' then state.why = ARGV[4] end
  emit(ARGV[1], ARGV[2], 'challenge.cancelled', state, member('reason', ARGV[4]))
end
return {'cancelled', save_state(challenge_key, state), unpack(events)}
