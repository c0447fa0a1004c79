-- All that is known of a supplier, as it stands now.
--
-- KEYS  breaker, prefix of the counters, prefix of the volumes
-- ARGV  how many steps of the counters, the one under way included
-- Returns {ms until it opens for a probe (0: closed, 1: now), parts of this month, number of the step under way,
--          its counters, those of the step before, …}

local breaker = read_breaker(KEYS[1])
local wait = 0
if breaker.open_until > 0 then
  wait = math.max(breaker.open_until, breaker.probe_until) - now
  if wait < 1 then wait = 1 end
end
local step = math.floor(seconds / STEP_SECONDS)
local found = {whole(wait), redis.call('GET', KEYS[3] .. ':' .. month()) or '0', step}
for age = 0, tonumber(ARGV[1]) - 1 do
  found[#found + 1] = redis.call('HGETALL', KEYS[2] .. ':' .. whole(step - age))
end
return found
