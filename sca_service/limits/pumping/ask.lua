-- Let one message pass and count it under all its subjects, or under none (limits/pumping/model.py decides the same).
--
-- KEYS  the line's own count, the index of blocks, the countries of the address, then of each subject: its counters,
--       its block, its place on the allow-list
-- ARGV  1 'refuse' or 'observe'  2 id of a block  3 id of its event  4 seconds of a block  5 hours of the window
--       6 mark for conversion  7 most countries  8 country  9 which subject is the address, 0 for none
--       10… of each subject: scope, name, floor, three shares, least sent, days of history, seconds it is kept
-- Returns {'passed', hour}, {'observed', hour, reason} or {'refused', the block's fields…}

local refuses, window_hours = ARGV[1] == 'refuse', tonumber(ARGV[5])
local conversion, most_countries, country = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8]
local address_at = tonumber(ARGV[9])
local subjects = (#KEYS - 3) / 3

local function argument(at, which) return ARGV[9 + (at - 1) * 9 + which] end
local function number(at, which) return tonumber(argument(at, which)) end

local function counts_of(at)
  local fields = redis.call('HGETALL', KEYS[1 + at * 3])
  local sent, answered, verified_hour, verified_day, best_day = 0, 0, 0, 0, 0
  for place = 1, #fields, 2 do
    if string.sub(fields[place], 1, 1) == 'h' then
      local bucket, one, two, three = read_hour(fields[place + 1])
      if bucket <= hour and bucket >= hour - window_hours then
        sent, answered, verified_day = sent + one, answered + two, verified_day + three
        if bucket >= hour - 1 then verified_hour = verified_hour + three end
      end
    else
      local bucket, verified = read_day(fields[place + 1])
      if bucket <= day and bucket >= day - number(at, 8) then best_day = math.max(best_day, verified) end
    end
  end
  return sent, answered, verified_hour, verified_day, best_day
end

local function share(of, percent) return math.floor(of * percent / 100) end

local function reason_against(at)
  local sent, answered, verified_hour, verified_day, best_day = counts_of(at)
  local budget = math.max(number(at, 3), share(best_day, number(at, 4)), share(verified_day, number(at, 5)),
    share(verified_hour, number(at, 6)))
  if math.max(0, sent - answered) >= budget then return 'budget' end
  if sent >= number(at, 7) and answered * 100 < conversion * sent then return 'conversion' end
  return nil
end

local function too_many_countries()
  local held, others = redis.call('HGETALL', KEYS[3]), 0
  for place = 1, #held, 2 do
    if tonumber(held[place + 1]) < hour - window_hours then
      redis.call('HDEL', KEYS[3], held[place])
    elseif held[place] ~= country then
      others = others + 1
    end
  end
  return others >= most_countries
end

local free = {}
for at = 1, subjects do
  free[at] = in_force('allow', KEYS[3 + at * 3]) ~= nil
end

local found, reason
for at = 1, subjects do
  local block = not free[at] and in_force('block', KEYS[2 + at * 3])
  if block and redis.call('EXISTS', block) == 1 then
    if refuses then
      redis.call('HINCRBY', block, 'refused', 1)
      return {'refused', unpack(redis.call('HGETALL', block))}
    end
    reason = redis.call('HGET', block, 'why')
  end
end
for at = 1, subjects do
  if not free[at] and not reason then
    reason = reason_against(at) or (at == address_at and too_many_countries() and 'countries') or nil
    found = reason and at
  end
end
if reason and refuses then
  local block = put_entry('block', KEYS[2 + found * 3], KEYS[2], tonumber(ARGV[4]), ARGV[2], 'scope',
    argument(found, 1), 'subject', argument(found, 2), 'why', reason, 'event', ARGV[3], 'recorded', '0', 'refused', '1')
  return {'refused', unpack(redis.call('HGETALL', block))}
end

local messages = redis.call('INCR', KEYS[1])
redis.call('EXPIRE', KEYS[1], 172800)
for at = 1, subjects do
  if not free[at] then
    local key = KEYS[1 + at * 3]
    add(key, hour, counted(messages) - counted(messages - 1), 0, 0)
    redis.call('EXPIRE', key, number(at, 9))
    if at == address_at then
      redis.call('HSET', KEYS[3], country, whole(hour))
      redis.call('EXPIRE', KEYS[3], number(at, 9))
    end
  end
end
if reason then return {'observed', hour, reason} end
return {'passed', hour}
