-- Learn what a payer is used to, from a request that the payer approved.
--
-- KEYS  the payer's hash
-- ARGV  seconds it is kept, amount in minor units ('' for none), latitude and longitude ('' for none), then by threes:
--       prefix, name and how many of the prefix are remembered
-- Returns nothing

local key, ttl, amount = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])

local function remember(prefix, name, most)
  local field = prefix .. name
  if redis.call('HEXISTS', key, field) == 0 then
    local held, oldest, oldest_at = 0, nil, nil
    local fields = redis.call('HGETALL', key)
    for at = 1, #fields, 2 do
      if string.sub(fields[at], 1, #prefix) == prefix then
        held = held + 1
        local seen = tonumber(fields[at + 1])
        if not oldest_at or seen < oldest_at then oldest, oldest_at = fields[at], seen end
      end
    end
    if held >= most then redis.call('HDEL', key, oldest) end
  end
  redis.call('HSET', key, field, now)
end

-- Welford's running mean and sum of squared deviations.
local function observe(value)
  local kept = redis.call('HMGET', key, 'n', 'm', 'q')
  local count, mean, squares = tonumber(kept[1] or 0) + 1, tonumber(kept[2] or 0), tonumber(kept[3] or 0)
  local delta = value - mean
  mean = mean + delta / count
  squares = squares + delta * (value - mean)
  redis.call('HSET', key, 'n', whole(count), 'm', string.format('%.17g', mean), 'q', string.format('%.17g', squares))
end

redis.call('HSETNX', key, 'f', now)
redis.call('HINCRBY', key, 'a', 1)
local hours = tonumber(redis.call('HGET', key, 'o') or 0)
redis.call('HSET', key, 'o', whole(bit.bor(hours, bit.lshift(1, math.floor(now / 3600) % 24))))
if amount then observe(amount) end
if ARGV[3] ~= '' then redis.call('HSET', key, 'y', ARGV[3], 'x', ARGV[4], 't', now) end
for at = 5, #ARGV, 3 do remember(ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])) end
live_for(key, ttl)
