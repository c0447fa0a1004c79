-- What every script of this room starts with: the time, rings of buckets, and a time to live that never shrinks.
--
-- A ring keeps the last buckets of a window: the field <name><bucket modulo slots> holds "<bucket>:<count>:<sum>", so
-- that an old bucket is overwritten by the one that takes its place. memory.py holds the same numbers and reads them.

local HOUR_STEP, HOUR_SLOTS = 600, 7
local DAY_STEP, DAY_SLOTS = 10800, 9
local DAY_SECONDS = 86400

local now = tonumber(redis.call('TIME')[1])

local function whole(number) return string.format('%.0f', number) end

-- The name and the new value of the bucket under way, with one more in it; `kept` are the fields of the hash.
local function ring(kept, name, step, slots, amount)
  local bucket = math.floor(now / step)
  local field = name .. whole(bucket % slots)
  local count, sum = 0, 0
  if kept[field] then
    local at, before, added = string.match(kept[field], '^(%d+):(%d+):(%d+)$')
    if tonumber(at) == bucket then count, sum = tonumber(before), tonumber(added) end
  end
  return field, whole(bucket) .. ':' .. whole(count + 1) .. ':' .. whole(sum + amount)
end

local function live_for(key, seconds)
  if redis.call('TTL', key) < seconds then redis.call('EXPIRE', key, seconds) end
end

local function day_key(key, days_ago) return key .. ':' .. whole(math.floor(now / DAY_SECONDS) - days_ago) end
