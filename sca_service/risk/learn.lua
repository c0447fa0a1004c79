-- Learn what a payer is used to, from a request that the payer approved.
--
-- KEYS  the payer's hash
-- ARGV  seconds it is kept, amount in minor units ('' for none), latitude and longitude ('' for none), then by threes:
--       prefix, name (of each prefix one at most) and how many of the prefix are remembered
-- Returns nothing

local HOUR_SECONDS = 3600

local key, ttl, amount = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])

local asked = {'f', 'a', 'o', 'n', 'm', 'q'}
for at = 5, #ARGV, 3 do asked[#asked + 1] = ARGV[at] .. ARGV[at + 1] end
local kept = redis.call('HMGET', key, unpack(asked))

local hours = bit.bor(tonumber(kept[3] or 0), bit.lshift(1, math.floor(now / HOUR_SECONDS) % 24))
local learned = {'f', kept[1] or now, 'a', whole((kept[2] or 0) + 1), 'o', whole(hours)}

local function learn(field, value)
  learned[#learned + 1] = field
  learned[#learned + 1] = value
end

-- Welford's running mean and sum of squared deviations.
local function observe(value)
  local count, mean, squares = tonumber(kept[4] or 0) + 1, tonumber(kept[5] or 0), tonumber(kept[6] or 0)
  local delta = value - mean
  mean = mean + delta / count
  squares = squares + delta * (value - mean)
  learn('n', whole(count))
  learn('m', string.format('%.17g', mean))
  learn('q', string.format('%.17g', squares))
end

-- The one not seen longest makes place, where as many of a prefix are held as are remembered.
local function make_place(fields, prefix, most)
  local held, oldest, oldest_at = 0, nil, nil
  for at = 1, #fields, 2 do
    if string.sub(fields[at], 1, #prefix) == prefix then
      held = held + 1
      local seen = tonumber(fields[at + 1])
      if not oldest_at or seen < oldest_at then oldest, oldest_at = fields[at], seen end
    end
  end
  if held >= most then redis.call('HDEL', key, oldest) end
end

local function remember()
  local fields
  for at = 7, #asked do
    learn(asked[at], now)
    if kept[2] and not kept[at] then
      fields = fields or redis.call('HGETALL', key)
      local told = 5 + 3 * (at - 7)
      make_place(fields, ARGV[told], tonumber(ARGV[told + 2]))
    end
  end
end

if amount then observe(amount) end
if ARGV[3] ~= '' then
  learn('y', ARGV[3])
  learn('x', ARGV[4])
  learn('t', now)
end
remember()
redis.call('HSET', key, unpack(learned))
live_for(key, ttl, HOUR_SECONDS)
