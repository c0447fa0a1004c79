-- How many of a partition's challenges are due and not leased, and for how long the first of them has been.
--
-- KEYS  1 the partition's timers
-- Returns the number and the time in ms

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local first = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'WITHSCORES', 'LIMIT', 0, 1)
if not first[2] then return { 0, 0 } end
return { redis.call('ZCOUNT', KEYS[1], '-inf', now), math.floor(now - tonumber(first[2])) }
