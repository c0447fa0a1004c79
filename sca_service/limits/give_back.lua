-- Give back what was spent of each limit of one slot: nothing came of it (limits/model.py holds the arithmetic).
--
-- KEYS  the limits, all with one hash tag
-- ARGV  ms that it had cost, of each limit

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

for at = 1, #KEYS do
  local left_ms = tonumber(redis.call('GET', KEYS[at]) or 0) - tonumber(ARGV[at])
  if left_ms > now then
    redis.call('SET', KEYS[at], string.format('%d', left_ms), 'PX', math.ceil(left_ms - now))
  else
    redis.call('DEL', KEYS[at])
  end
end
