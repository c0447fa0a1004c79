-- What is remembered of one payer, device, payee or address, and the request that asks counted with it: one step, so
-- that of many at once each sees the others.
--
-- What is counted lies in one string beside the hash, so that one command reads it and one writes it: when first seen;
-- the hour's bucket under way and the requests of it and of those before; the day, and how many different others came on
-- it; of a payer the day's bucket, requests and amounts; then the different others of this day, and those of the day
-- before that did not come on this one, three bytes each. Where they are MANY, HyperLogLog counts them; then there stand
-- how many they were when it was last asked, and how often it has changed since. Everything is written out and held in
-- locals because tables and functions would take as long as all the commands.
--
-- Several are met in one step, where they lie on one slot or on one server.
--
-- KEYS  of each its hash, and what else of the payer is asked, in any order
-- ARGV  1 how the request is counted: '' not at all, 'first' (what is returned holds it), 'last' (it does not)
--       2 seconds that a payer's counts are kept, and 3 those of the others  4 amount in minor units ('' for none)
--       5 three bytes to count among a payer's different others ('' for none), and 6 among those of the others
--       7 a letter for each key: P a payer, S another subject, M one of which only marks are told, L one of which only a
--         list is asked, F the hash that holds a payer's failures  8 its field
-- Returns of each key: P {requests of the hour, different others of the last one to two days, requests of the day, their
--         amounts, first seen (0 for never), seconds by Redis, {field, value, …}}; S {the first two, marks}; M marks;
--         L until when it is listed; F failures in a row

local HOUR_STEP, DAY_STEP = 600, 10800
local ALL = '>I4I4I4I4I4I4I4I4I4I4B'
local PAYER = '>I4I4I4I4I4I4I4I4I4I4I7I7I7I7I7I7I7I7I7'
local UNITED = '>I4I4'
local WIDTH, MOST_EXACT, MANY, LARGEST = 3, 40, 255, 2 ^ 53

local when, amount, roles = ARGV[1], tonumber(ARGV[4]) or 0, ARGV[7]

-- How many steps have passed, and the one under way. A clock that goes back by one counts on where it was; by more, anew.
local function passed(since, step)
  local steps = math.floor(now / step) - since
  if steps == -1 then return 0, since end
  return steps < 0 and LARGEST or steps, since + steps
end

-- How many came of late, by what stands in a string of counts.
local function different(fresh, others)
  if fresh ~= MANY then return #others / WIDTH end
  local counted, since = struct.unpack(UNITED, others)
  return counted + since
end

local function meet(key, other, kept_seconds, is_payer)
  local counts = key .. ':n'

  local first, hour, h1, h2, h3, h4, h5, h6, h7, today, fresh = 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
  local bucket, d1, d2, d3, d4, d5, d6, d7, d8, d9 = 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
  local a1, a2, a3, a4, a5, a6, a7, a8, a9 = 0, 0, 0, 0, 0, 0, 0, 0, 0
  local others, from = ''

  local packed = redis.call('GET', counts)
  if packed then
    first, hour, h1, h2, h3, h4, h5, h6, h7, today, fresh, from = struct.unpack(ALL, packed)
    if is_payer then
      bucket, d1, d2, d3, d4, d5, d6, d7, d8, d9, a1, a2, a3, a4, a5, a6, a7, a8, a9, from =
        struct.unpack(PAYER, packed, from)
    end
    others = string.sub(packed, from)
  end

  local steps
  steps, hour = passed(hour, HOUR_STEP)
  for _ = 1, math.min(steps, 7) do h1, h2, h3, h4, h5, h6, h7 = 0, h1, h2, h3, h4, h5, h6 end
  if is_payer then
    steps, bucket = passed(bucket, DAY_STEP)
    for _ = 1, math.min(steps, 9) do
      d1, d2, d3, d4, d5, d6, d7, d8, d9 = 0, d1, d2, d3, d4, d5, d6, d7, d8
      a1, a2, a3, a4, a5, a6, a7, a8, a9 = 0, a1, a2, a3, a4, a5, a6, a7, a8
    end
  end

  local is_next_day
  steps, today = passed(today, DAY_SECONDS)
  if steps > 1 then
    fresh, others = 0, ''
  elseif steps == 1 and fresh ~= MANY then
    fresh, others = 0, string.sub(others, 1, fresh * WIDTH)
  elseif steps == 1 then
    is_next_day, others = true, struct.pack(UNITED, redis.call('PFCOUNT', two_days_key(key, today)), 0)
  end

  local seen_first, hours, come = first, h1 + h2 + h3 + h4 + h5 + h6 + h7, different(fresh, others)
  local days, amounts = d1 + d2 + d3 + d4 + d5 + d6 + d7 + d8 + d9, a1 + a2 + a3 + a4 + a5 + a6 + a7 + a8 + a9

  if when ~= '' and other ~= '' and fresh ~= MANY then
    local at = string.find(others, other, 1, true)
    while at and at % WIDTH ~= 1 do at = string.find(others, other, at + 1, true) end
    if not at or at > fresh * WIDTH then
      if at then others = string.sub(others, 1, at - 1) .. string.sub(others, at + WIDTH) end
      if #others < MOST_EXACT * WIDTH then
        fresh, others = fresh + 1, other .. others
      else
        local this, following = two_days_key(key, today), two_days_key(key, today + 1)
        for from = 1, #others, WIDTH do
          local one = string.sub(others, from, from + WIDTH - 1)
          redis.call('PFADD', this, one)
          if from <= fresh * WIDTH then redis.call('PFADD', following, one) end
        end
        redis.call('EXPIRE', this, 2 * DAY_SECONDS)
        fresh, is_next_day, others = MANY, true, struct.pack(UNITED, #others / WIDTH, 0)
      end
    end
  end
  if when ~= '' and is_next_day then
    local following = two_days_key(key, today + 1)
    redis.call('PFADD', following)
    redis.call('EXPIRE', following, 2 * DAY_SECONDS)
  end
  if when ~= '' and other ~= '' and fresh == MANY then
    local this = two_days_key(key, today)
    redis.call('PFADD', two_days_key(key, today + 1), other)
    if redis.call('PFADD', this, other) == 1 then
      local counted, since = struct.unpack(UNITED, others)
      since = since + 1
      if since > math.max(16, counted / 64) then counted, since = redis.call('PFCOUNT', this), 0 end
      others = struct.pack(UNITED, counted, since)
    end
  end

  if when ~= '' then
    if first == 0 then first = now end
    local kept = struct.pack(ALL, first, hour, h1 + 1, h2, h3, h4, h5, h6, h7, today, fresh)
    if is_payer then
      a1 = math.min(a1 + amount, LARGEST)
      kept = kept .. struct.pack(
        PAYER, bucket, d1 + 1, d2, d3, d4, d5, d6, d7, d8, d9, a1, a2, a3, a4, a5, a6, a7, a8, a9
      )
    end
    redis.call('SET', counts, kept .. others, 'EX', kept_seconds)
    if when == 'first' then
      seen_first, hours, come, days, amounts = first, hours + 1, different(fresh, others), days + 1, amounts + amount
    end
  end

  if not is_payer then return {hours, come, redis.call('HMGET', key, 'r', 'u', 'b', 'z', 'l')} end
  return {hours, come, days, amounts, seen_first, now, redis.call('HGETALL', key)}
end

local told = {}
for at = 1, #KEYS do
  local key, role = KEYS[at], string.sub(roles, at, at)
  if role == 'S' then
    told[at] = meet(key, ARGV[6], ARGV[3], false)
  elseif role == 'P' then
    told[at] = meet(key, ARGV[5], ARGV[2], true)
  elseif role == 'M' then
    told[at] = redis.call('HMGET', key, 'r', 'u', 'b', 'z', 'l')
  else
    told[at] = redis.call('HGET', key, role == 'F' and ARGV[8] or 'l')
  end
end
return told
