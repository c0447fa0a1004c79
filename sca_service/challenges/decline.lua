-- The payer said no: to a call, to a text, or in the app. Whoever got the message may; the challenge is over.
--
-- KEYS  the three of state.lua
-- ARGV  1 event id  2 head  3 delivery id ('' for: a device that signed its answer)
--       4 how it was said, or why ('' for: the way the delivery went)
--       5 what was signed, sealed ('' for nothing)  6 the event's members that commit to it
-- Returns {'changed', state, event…}, {'ignored'} when the challenge is over or nothing was sent, or {'not_found'}

local state = load_state(challenge_key)
if not state then return {'not_found'} end
local delivery
for _, candidate in ipairs(state.deliveries) do
  if candidate.id == ARGV[3] then delivery = candidate end
end
local signed = ARGV[3] == ''
if not delivery and not signed then return {'not_found'} end
if state.status ~= 'pending' or now >= state.expires_at then return {'ignored'} end
if delivery and delivery.tries == 0 then return {'ignored'} end

local HOW = { voice = 'payer_call', push = 'payer_app' }

settle_challenge(state, 'declined')
state.why = ARGV[4] ~= '' and ARGV[4] or signed and 'payer_app' or HOW[delivery.channel] or 'payer_reply'
local way = delivery and member('delivery', delivery.id) .. member('channel', delivery.channel) or ''
state.signed = ARGV[5]
emit(ARGV[1], ARGV[2], 'challenge.declined', state, member('reason', state.why) .. way .. ARGV[6])
if state.why == 'not_me' then emit(ARGV[1], ARGV[2], 'payer.not_me', state) end -- somebody else started it
return {'changed', save_state(challenge_key, state), unpack(events)}
