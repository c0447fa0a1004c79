-- Put down that one was reported for fraud.
--
-- KEYS  its hash
-- ARGV  seconds that this counts, and who reports ('' for nobody in particular): what one payer says counts once, while
--       any report counts
-- Returns how many reports count

local key, seconds = KEYS[1], tonumber(ARGV[1])
local kept = redis.call('HMGET', key, 'r', 'u')
local reports = tonumber(kept[1] or 0)
if tonumber(kept[2] or 0) <= now then reports = 0 end

local reporters = key .. ':by'
if ARGV[2] ~= '' then
  if reports == 0 then redis.call('DEL', reporters) end
  if redis.call('PFADD', reporters, ARGV[2]) == 0 then return reports end
  redis.call('EXPIRE', reporters, seconds)
end
reports = reports + 1
redis.call('HSET', key, 'r', whole(reports), 'u', whole(now + seconds))
live_for(key, seconds)
return reports
