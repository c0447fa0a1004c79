-- A delivery's decision is on record: send it now. Does nothing when a worker has taken it up meanwhile.
--
-- KEYS  1 the partition's timers
-- ARGV  1 challenge id  2 when its delivery was queued, in ms  3 ms that were allowed for putting it on record
-- Returns whether it was released

local waits_until = tonumber(ARGV[2]) + tonumber(ARGV[3])
if tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1])) ~= waits_until then return 0 end
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
redis.call('PUBLISH', 'sca:due', string.sub(ARGV[1], 5, 6))
return 1
