-- Lift a payer's block and forget the failures counted (RTS Art. 4(4): a secure procedure to regain use).
--
-- KEYS  1 the payer's lockout  2 the partition's outbox
-- ARGV  1 event id  2 members of the event
-- Returns {'unblocked', '', event, its place in the outbox}

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('DEL', KEYS[1])
local event = string.format('{"id":"%s","type":"payer.unblocked","at_ms":%d,%s}', ARGV[1], now, ARGV[2])
return {'unblocked', '', event, redis.call('XADD', KEYS[2], '*', 'event', event)}
