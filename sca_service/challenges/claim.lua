-- Lease the challenges of a partition whose time has come: no other worker gets them before the lease is over.
--
-- KEYS  1 the partition's timers
-- ARGV  1 lease in ms  2 most to claim
-- Returns the time in ms, then of each its id and its state ('' when it is gone): what to prepare is read from it

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local partition = string.match(KEYS[1], '^{p%d%d}:')
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, tonumber(ARGV[2]))
local claimed = { now }
for _, id in ipairs(due) do
  redis.call('ZADD', KEYS[1], 'XX', now + tonumber(ARGV[1]), id)
  claimed[#claimed + 1] = id
  claimed[#claimed + 1] = redis.call('GET', partition .. 'challenge:' .. id) or ''
end
return claimed
