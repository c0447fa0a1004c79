-- What is remembered of one payer, device, payee or address, and the request that asks counted with it: one step, so
-- that of many at once each sees the others.
--
-- KEYS  its hash; of a payer also the hash that holds the failures, where they are asked for
-- ARGV  how the request is counted: '' not at all, 'first' (what is returned holds it), 'last' (it does not);
--       seconds it is kept; amount in minor units ('' for none); a pseudonym to count among the different others ('' for
--       none); '1' for a payer; the field that holds the failures in a row
-- Returns {seconds by Redis, how many different others in the last one to two days, failures, field, value, …}

local key, when, ttl, amount, other = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]) or 0, ARGV[4]

local function recalled()
  local others = redis.call('PFCOUNT', day_key(key, 0), day_key(key, 1))
  local failures = KEYS[2] and redis.call('HGET', KEYS[2], ARGV[6]) or 0
  return {now, others, failures, unpack(redis.call('HGETALL', key))}
end

local function count(kept)
  local hour, of_hour = ring(kept, 'h', HOUR_STEP, HOUR_SLOTS, amount)
  if ARGV[5] == '1' then
    local day, of_day = ring(kept, 'd', DAY_STEP, DAY_SLOTS, amount)
    redis.call('HSET', key, hour, of_hour, day, of_day, 'f', kept['f'] or now)
  else
    redis.call('HSET', key, hour, of_hour)
  end
  if other ~= '' then
    local others = day_key(key, 0)
    if redis.call('PFADD', others, other) == 1 then redis.call('EXPIRE', others, 2 * DAY_SECONDS) end
  end
  live_for(key, ttl)
end

local found = recalled()
if when == '' then return found end
local kept = {}
for at = 4, #found, 2 do kept[found[at]] = found[at + 1] end
count(kept)
return when == 'first' and recalled() or found
