-- What every script of the guard starts with: the time, and the counters of one subject.
--
-- A subject's hash holds the field h<hour modulo slots> = "<hour>:<sent>:<answered>:<verified>" for each hour and
-- d<day modulo slots> = "<day>:<verified>" for each day, so an old one is overwritten by the one that takes its place.
-- m<minute modulo slots> = "<minute>:<messages>" are those of a minute that are not answered yet; ten minutes are looked at.
-- Everything lies on one hash slot: only lines that never approved are asked for, and all subjects are decided at once.

local now = tonumber(redis.call('TIME')[1])
local HOUR_SLOTS, DAY_SLOTS, MINUTE_SLOTS = 25, 15, 11
local hour, day, minute = math.floor(now / 3600), math.floor(now / 86400), math.floor(now / 60)

local function whole(number) return string.format('%.0f', number) end

local function hour_field(at) return 'h' .. whole(at % HOUR_SLOTS) end
local function day_field(at) return 'd' .. whole(at % DAY_SLOTS) end
local function minute_field(at) return 'm' .. whole(at % MINUTE_SLOTS) end

local function read_hour(text)
  local at, sent, answered, verified = string.match(text or '', '^(%d+):(%d+):(%d+):(%d+)$')
  return tonumber(at or -1), tonumber(sent or 0), tonumber(answered or 0), tonumber(verified or 0)
end

local function read_single(text)
  local at, count = string.match(text or '', '^(%d+):(%d+)$')
  return tonumber(at or -1), tonumber(count or 0)
end

-- Add to an hour; one that has left the ring stays as it is.
local function add(key, at, sent, answered, verified)
  local field = hour_field(at)
  local held, sent_before, answered_before, verified_before = read_hour(redis.call('HGET', key, field))
  if held > at then return end
  if held ~= at then sent_before, answered_before, verified_before = 0, 0, 0 end
  redis.call('HSET', key, field, whole(at) .. ':' .. whole(math.max(0, sent_before + sent)) .. ':'
    .. whole(answered_before + answered) .. ':' .. whole(verified_before + verified))
end

local function add_to_day(key, verified)
  local field = day_field(day)
  local held, before = read_single(redis.call('HGET', key, field))
  if held ~= day then before = 0 end
  redis.call('HSET', key, field, whole(day) .. ':' .. whole(before + verified))
end

-- A message is waiting for its answer from now on.
local function wait_for(key)
  local field = minute_field(minute)
  local held, before = read_single(redis.call('HGET', key, field))
  if held ~= minute then before = 0 end
  redis.call('HSET', key, field, whole(minute) .. ':' .. whole(before + 1))
end

-- A message that waited since this minute does not any more; one whose minute has left the ring is as it is.
local function wait_no_more(key, since)
  local field = minute_field(since)
  local held, before = read_single(redis.call('HGET', key, field))
  if held == since then redis.call('HSET', key, field, whole(since) .. ':' .. whole(math.max(0, before - 1))) end
end

-- How many of the messages to one line count: four tries are one payer.
local function counted(messages) return messages > 0 and math.max(1, messages - 3) or 0 end

local function entry_key(kind, id) return '{pumping}:' .. kind .. '-of:' .. id end

-- The entry that is in force under a pointer "<until>:<id>", or nil.
local function in_force(kind, pointer)
  local until_at, id = string.match(redis.call('GET', pointer) or '', '^(%d+):(.+)$')
  if not until_at or tonumber(until_at) <= now then return nil end
  return entry_key(kind, id), id
end

local function put_entry(kind, pointer, index, seconds, id, ...)
  local until_at, key = now + seconds, entry_key(kind, id)
  redis.call('SET', pointer, whole(until_at) .. ':' .. id, 'EX', seconds)
  redis.call('HSET', key, 'id', id, 'pointer', pointer, 'since', whole(now), 'until', whole(until_at), ...)
  redis.call('EXPIRE', key, seconds)
  redis.call('ZREMRANGEBYSCORE', index, '-inf', now)
  redis.call('ZADD', index, until_at, id)
  redis.call('EXPIRE', index, seconds, 'NX')
  redis.call('EXPIRE', index, seconds, 'GT')
  return key
end
