-- Spend each limit of one slot: all of them or none (limits/model.py holds the arithmetic).
--
-- KEYS  the limits, all with one hash tag; then the set of those more than half spent, where one is kept
-- ARGV  ms that it costs, ms of room and '1' when it refuses, of each limit
-- Returns {index of the refusing limit or 0, ms to wait, then of each limit '1' when it was spent and how many ms ahead
--          of the clock it is spent now}

local count = #ARGV / 3
local tats, spent, refusing, wait = {}, {}, 0, 0
for at = 1, count do
  local cost_ms, room_ms = tonumber(ARGV[3 * at - 2]), tonumber(ARGV[3 * at - 1])
  tats[at] = math.max(tonumber(redis.call('GET', KEYS[at]) or 0), now)
  local overdraft_ms = tats[at] + cost_ms - now - room_ms
  if overdraft_ms <= 0 then
    spent[at] = tats[at] + cost_ms
  elseif ARGV[3 * at] == '1' and overdraft_ms > wait then
    refusing, wait = at, overdraft_ms
  end
end
if refusing > 0 then spent = {} end
local reply = {refusing, math.ceil(wait)}
for at = 1, count do
  local spent_ms = spent[at]
  if spent_ms then
    redis.call('SET', KEYS[at], string.format('%d', spent_ms), 'PX', math.ceil(spent_ms - now))
    note_pressed(KEYS[at], spent_ms, tonumber(ARGV[3 * at - 1]))
  end
  reply[#reply + 1] = spent_ms and 1 or 0
  reply[#reply + 1] = math.ceil((spent_ms or tats[at]) - now)
end
keep_pressed(KEYS[count + 1])
return reply
