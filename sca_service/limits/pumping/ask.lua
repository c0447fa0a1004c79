-- Let one message pass and count it under all its subjects, or under none (limits/pumping/model.py decides the same).
--
-- KEYS  the line's own count, since when it is waited for, the index of blocks, the countries of the address, then of each
--       subject: its counters, its block, its place on the allow-list
-- ARGV  1 'refuse' or 'observe'  2 id of a block  3 id of its event  4 seconds of a block  5 hours of the window
--       6 minutes to answer  7 mark for conversion  8 most countries  9 country  10 which subject is the address, or 0
--       11… of each subject: scope, name, floor, three shares, how many more may wait, least sent, days of history,
--       seconds it is kept
-- Returns {'passed', hour}, {'observed', hour, reason} or {'refused', the block's fields…}

local refuses, window_hours = ARGV[1] == 'refuse', tonumber(ARGV[5])
local answer_minutes, conversion = tonumber(ARGV[6]), tonumber(ARGV[7])
local most_countries, country, address_at = tonumber(ARGV[8]), ARGV[9], tonumber(ARGV[10])
local subjects = (#KEYS - 4) / 3

local function argument(at, which) return ARGV[10 + (at - 1) * 10 + which] end
local function number(at, which) return tonumber(argument(at, which)) end

local function counters(at) return KEYS[2 + at * 3] end
local function pointer(at) return KEYS[3 + at * 3] end

local function counts_of(at)
  local fields = redis.call('HGETALL', counters(at))
  local sent, answered, waiting, verified_hour, verified_day, best_day = 0, 0, 0, 0, 0, 0
  for place = 1, #fields, 2 do
    local kind = string.sub(fields[place], 1, 1)
    if kind == 'h' then
      local bucket, one, two, three = read_hour(fields[place + 1])
      if bucket <= hour and bucket >= hour - window_hours then
        sent, answered, verified_day = sent + one, answered + two, verified_day + three
        if bucket >= hour - 1 then verified_hour = verified_hour + three end
      end
    elseif kind == 'd' then
      local bucket, verified = read_single(fields[place + 1])
      if bucket <= day and bucket >= day - number(at, 9) then best_day = math.max(best_day, verified) end
    else
      local bucket, messages = read_single(fields[place + 1])
      if bucket <= minute and bucket >= minute - answer_minutes then waiting = waiting + messages end
    end
  end
  return sent, answered, waiting, verified_hour, verified_day, best_day
end

local function share(of, percent) return math.floor(of * percent / 100) end

local function reason_against(at)
  local sent, answered, waiting, verified_hour, verified_day, best_day = counts_of(at)
  local budget = math.max(number(at, 3), share(best_day, number(at, 4)), share(verified_day, number(at, 5)),
    share(verified_hour, number(at, 6)))
  local judged = math.max(0, sent - math.min(waiting, number(at, 7)))
  if judged - answered >= budget then return 'budget' end
  if judged >= number(at, 8) and answered * 100 < conversion * judged then return 'conversion' end
  return nil
end

local function too_many_countries()
  local held, others = redis.call('HGETALL', KEYS[4]), 0
  for place = 1, #held, 2 do
    if tonumber(held[place + 1]) < hour - window_hours then
      redis.call('HDEL', KEYS[4], held[place])
    elseif held[place] ~= country then
      others = others + 1
    end
  end
  return others >= most_countries
end

local free = {}
for at = 1, subjects do
  free[at] = in_force('allow', KEYS[4 + at * 3]) ~= nil
end

local found, reason
for at = 1, subjects do
  local block = not free[at] and in_force('block', pointer(at))
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
  local block = put_entry('block', pointer(found), KEYS[3], tonumber(ARGV[4]), ARGV[2], 'scope',
    argument(found, 1), 'subject', argument(found, 2), 'why', reason, 'event', ARGV[3], 'recorded', '0', 'refused', '1')
  return {'refused', unpack(redis.call('HGETALL', block))}
end

local messages = redis.call('INCR', KEYS[1])
redis.call('EXPIRE', KEYS[1], 172800)
if messages == 1 then redis.call('SET', KEYS[2], whole(minute), 'EX', MINUTE_SLOTS * 60) end
for at = 1, subjects do
  if not free[at] then
    local key = counters(at)
    add(key, hour, counted(messages) - counted(messages - 1), 0, 0)
    if messages == 1 and number(at, 7) > 0 then wait_for(key) end
    redis.call('EXPIRE', key, number(at, 10))
    if at == address_at then
      redis.call('HSET', KEYS[4], country, whole(hour))
      redis.call('EXPIRE', KEYS[4], number(at, 10))
    end
  end
end
if reason then return {'observed', hour, reason} end
return {'passed', hour}
