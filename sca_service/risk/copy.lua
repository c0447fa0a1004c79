-- Take over how one stands as PostgreSQL has it: on a list until when, and which reports on payments count.
--
-- KEYS  its hash
-- ARGV  version, listed until (seconds since the epoch, 0 for not), reports, reports count until
-- Returns 1 when it was taken over, 0 when this version or a later one is known: copies may overtake each other

local key, version = KEYS[1], tonumber(ARGV[1])
if tonumber(redis.call('HGET', key, 'w') or 0) >= version then return 0 end
redis.call('HSET', key, 'w', ARGV[1], 'l', ARGV[2], 'b', ARGV[3], 'z', ARGV[4])
live_for(key, math.max(tonumber(ARGV[2]) - now, tonumber(ARGV[4]) - now, 2 * DAY_SECONDS))
return 1
