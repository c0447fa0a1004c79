-- Spend one of each limit of one subject: all of them or none (limits/model.py holds the arithmetic).
--
-- KEYS  the limits, all with one hash tag
-- ARGV  ms each, burst and '1' when it refuses, of each limit
-- Returns {index of the refusing limit or 0, ms to wait, index of a limit that only observes and is spent, or 0}

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local spent, refusing, wait, observed = {}, 0, 0, 0
for at = 1, #KEYS do
  local interval_ms, burst = tonumber(ARGV[3 * at - 2]), tonumber(ARGV[3 * at - 1])
  local spent_ms = math.max(tonumber(redis.call('GET', KEYS[at]) or 0), now) + interval_ms
  local overdraft_ms = spent_ms - now - burst * interval_ms
  if overdraft_ms <= 0 then
    spent[at] = spent_ms
  elseif ARGV[3 * at] == '1' then
    if overdraft_ms > wait then refusing, wait = at, overdraft_ms end
  else
    observed = at
  end
end
if refusing > 0 then return {refusing, math.ceil(wait), observed} end
for at, spent_ms in pairs(spent) do
  redis.call('SET', KEYS[at], string.format('%d', spent_ms), 'PX', math.ceil(spent_ms - now))
end
return {0, 0, observed}
