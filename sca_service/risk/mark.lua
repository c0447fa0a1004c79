-- Put down that one was reported for fraud, or is on a list of compromised elements.
--
-- KEYS  its hash
-- ARGV  seconds that this counts, 'reported', 'listed' or 'unlisted'
-- Returns how many reports count

local key, seconds = KEYS[1], tonumber(ARGV[1])
local kept = redis.call('HMGET', key, 'r', 'u')
local reports = tonumber(kept[1] or 0)
if tonumber(kept[2] or 0) <= now then reports = 0 end

if ARGV[2] == 'reported' then
  reports = reports + 1
  redis.call('HSET', key, 'r', whole(reports), 'u', whole(now + seconds))
elseif ARGV[2] == 'listed' then
  redis.call('HSET', key, 'l', whole(now + seconds))
else
  redis.call('HDEL', key, 'l')
  return reports
end
live_for(key, seconds)
return reports
