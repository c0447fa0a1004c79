-- Count what came of handing a message to a supplier: its breaker, its counters, its volume of the month.
--
-- KEYS  breaker, prefix of the counters, prefix of the volumes
-- ARGV  '1' when it failed, number of the probe or 0, failures, window and ms open of the rule, network,
--       parts taken (0: not taken), '1' when it carries a code
-- Returns until when the breaker is open (ms), 0 when it is closed

local breaker = read_breaker(KEYS[1])
local failed, probe = ARGV[1] == '1', tonumber(ARGV[2])
local failures, window, open_ms = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])

if breaker.open_until > 0 then
  if probe == breaker.probe and breaker.probe_until > 0 then
    breaker.open_until = failed and now + open_ms or 0
    breaker.probe_until = 0
    write_breaker(KEYS[1], breaker)
  end
else
  breaker.outcomes = string.sub(breaker.outcomes .. (failed and '1' or '0'), -window)
  local _, failed_count = string.gsub(breaker.outcomes, '1', '')
  if failed and failed_count >= failures then
    breaker.outcomes, breaker.open_until = '', now + open_ms
  end
  write_breaker(KEYS[1], breaker)
end

local parts = tonumber(ARGV[7])
if parts > 0 then
  count(KEYS[2], ARGV[6], 's', 1)
  if ARGV[8] == '1' then count(KEYS[2], ARGV[6], 'c', 1) end
  local volume = KEYS[3] .. ':' .. month()
  redis.call('INCRBY', volume, parts)
  redis.call('EXPIRE', volume, MONTH_SECONDS)
end
return whole(breaker.open_until)
