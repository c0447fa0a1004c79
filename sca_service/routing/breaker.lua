-- What the scripts on a supplier share: its breaker (breaker.py holds the same arithmetic), and its counters.
--
-- breaker  {o = outcomes, u = open until (ms), n = number of the latest probe, p = probe until (ms)}

local PROBE_MS = 30000
local BREAKER_SECONDS = 86400 -- a supplier nobody sends to for a day starts anew
local STEP_SECONDS = 300
local COUNTED_SECONDS = 3900 -- twelve steps and one more
local MONTH_SECONDS = 5356800 -- 62 days: this month and the one before
local MOST_FIELDS = 8192 -- further networks count as one

local time = redis.call('TIME')
local seconds = tonumber(time[1])
local now = seconds * 1000 + math.floor(tonumber(time[2]) / 1000)

local function whole(number)
  return string.format('%d', number)
end

local function read_breaker(key)
  local held = redis.call('HMGET', key, 'o', 'u', 'n', 'p')
  return {
    outcomes = held[1] or '',
    open_until = tonumber(held[2] or 0),
    probe = tonumber(held[3] or 0),
    probe_until = tonumber(held[4] or 0),
  }
end

local function write_breaker(key, breaker)
  redis.call(
    'HSET', key, 'o', breaker.outcomes, 'u', whole(breaker.open_until), 'n', whole(breaker.probe),
    'p', whole(breaker.probe_until)
  )
  redis.call('EXPIRE', key, BREAKER_SECONDS)
end

local function count(prefix, network, field, amount)
  local key = prefix .. ':' .. whole(math.floor(seconds / STEP_SECONDS))
  local name = network .. '|' .. field
  if redis.call('HLEN', key) >= MOST_FIELDS and redis.call('HEXISTS', key, name) == 0 then
    name = '*|' .. field
  end
  redis.call('HINCRBY', key, name, amount)
  redis.call('EXPIRE', key, COUNTED_SECONDS)
end

-- The calendar month in UTC as 202611 (days since 1970-03-01, 400 years of 146,097 days; H. Hinnant, "chrono-Compatible
-- Low-Level Date Algorithms").
local function month()
  local days = math.floor(seconds / 86400) + 719468
  local era = math.floor(days / 146097)
  local day = days - era * 146097
  local year = math.floor(
    (day - math.floor(day / 1460) + math.floor(day / 36524) - math.floor(day / 146096)) / 365
  )
  local of_year = day - (365 * year + math.floor(year / 4) - math.floor(year / 100))
  local shifted = math.floor((5 * of_year + 2) / 153)
  local number = shifted < 10 and shifted + 3 or shifted - 9
  return whole((year + era * 400 + (number <= 2 and 1 or 0)) * 100 + number)
end
