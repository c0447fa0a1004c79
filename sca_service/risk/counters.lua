-- What every script of this room starts with: the time, times to live that never shrink, and where many are counted.

local DAY_SECONDS = 86400

local now = tonumber(redis.call('TIME')[1])

local function whole(number) return string.format('%.0f', number) end

-- With `slack`, a time to live that is shorter by no more than so many seconds is left as it is.
local function live_for(key, seconds, slack)
  if redis.call('TTL', key) < seconds - (slack or 0) then redis.call('EXPIRE', key, seconds) end
end

-- The HyperLogLog of those who came on this day (counted since the epoch) or the one before.
local function two_days_key(key, day) return key .. ':' .. whole(day) .. ':two' end
