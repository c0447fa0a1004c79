-- Give back what was spent of each limit of one slot: nothing came of it (limits/model.py holds the arithmetic).
--
-- KEYS  the limits, all with one hash tag; then the set of those more than half spent, where one is kept
-- ARGV  ms that it had cost, and ms of room, of each limit

local count = #ARGV / 2
for at = 1, count do
  local left_ms = tonumber(redis.call('GET', KEYS[at]) or 0) - tonumber(ARGV[2 * at - 1])
  if left_ms > now then
    redis.call('SET', KEYS[at], string.format('%d', left_ms), 'PX', math.ceil(left_ms - now))
  else
    redis.call('DEL', KEYS[at])
  end
  note_pressed(KEYS[at], left_ms, tonumber(ARGV[2 * at]))
end
keep_pressed(KEYS[count + 1])
