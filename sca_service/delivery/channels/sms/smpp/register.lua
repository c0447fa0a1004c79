-- An SMS centre took one part: remember whose it is, and give back a receipt that came before.
--
-- KEYS  1 early  2 sent:<plain>  3 parts:…  4 early:<plain>  5… early:<in the other base>
-- ARGV  1 id as answered  2 delivery  3 number  4 part  5 of  6 attempt  7 ms to keep it
-- Returns {status, at} of the delivery when a receipt was waiting and says something final of it, else {}

local exact, delivery, number = ARGV[1], ARGV[2], ARGV[3]
local part, of, ttl_ms = ARGV[4], ARGV[5], ARGV[7]

put(KEYS[2], exact, table.concat({delivery, number, part, of, ARGV[6]}, ' '), ttl_ms)

for at = 4, #KEYS do
  local waiting = redis.call('HGETALL', KEYS[at])
  for pair = 1, #waiting, 2 do
    local status, told_at, first, second = waiting[pair + 1]:match('^(%S+) (%S+) (%S+) (%S+)$')
    local agreement = compare(number, first, second)
    if agreement == 'agrees' or (agreement == 'unknown' and at == 4) then
      redis.call('HDEL', KEYS[at], waiting[pair])
      if redis.call('EXISTS', KEYS[at]) == 0 then redis.call('ZREM', KEYS[1], KEYS[at]) end
      local verdict = mark(KEYS[3], part, of, status, ttl_ms)
      if verdict == '' then return {} end
      return {verdict, told_at}
    end
  end
end
return {}
