-- A message that was counted is not sent after all.
--
-- KEYS  the line's own count, since when it is waited for, then the counters of each subject it was counted under
-- ARGV  the hour in which it was counted

local messages = tonumber(redis.call('GET', KEYS[1]) or 0)
local one = messages > 0 and counted(messages) - counted(messages - 1) or 0
local since = messages == 1 and tonumber(redis.call('GETDEL', KEYS[2]) or '')
for at = 3, #KEYS do
  if redis.call('EXISTS', KEYS[at]) == 1 then
    add(KEYS[at], tonumber(ARGV[1]), -one, 0, 0)
    if since then wait_no_more(KEYS[at], since) end
  end
end
if redis.call('EXISTS', KEYS[1]) == 1 and redis.call('DECR', KEYS[1]) <= 0 then redis.call('DEL', KEYS[1]) end
