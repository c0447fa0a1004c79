-- A worker could not put its attempt on record, so it did not send: give the try back and take it up again soon.
--
-- KEYS  the three of state.lua
-- ARGV  1 event id  2 head  3 delivery id  4 which try it was  5 ms to wait
-- Returns {'changed', state, event…} or {'ignored'} when somebody else has taken it up meanwhile

local state = load_state(challenge_key)
if not state or state.status ~= 'pending' then return {'ignored'} end
local delivery = current_delivery(state)
if delivery.id ~= ARGV[3] or not is_in_hand(delivery) or delivery.tries ~= tonumber(ARGV[4]) then return {'ignored'} end

delivery.tries = delivery.tries - 1
wait_until(state, now + tonumber(ARGV[5]))
emit(ARGV[1], ARGV[2], 'delivery.postponed', state,
  member('delivery', delivery.id) .. member('channel', delivery.channel) .. member('reason', 'not_on_record')
  .. member('try', delivery.tries + 1))
return {'changed', save_state(challenge_key, state), unpack(events)}
