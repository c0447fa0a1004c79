-- A receipt came: find the delivery it means, or let it wait for the answer to the submit.
--
-- The number decides before the spelling does: where a centre answers in one base and tells in the other, the id of
-- one message is spelled like that of another.
--
-- KEYS  1 early  2 early:<plain>  3 sent:<plain>  4… sent:<in the other base>
-- ARGV  1 id as told  2 status  3 when  4 number  5 number  6 ms to keep what is settled  7 ms to wait  8 most waiting
--       9 what the keys of parts begin with
-- Returns {'settled', delivery, status}, {'open', delivery} while parts are outstanding, or {'early'}

local exact, status, first, second = ARGV[1], ARGV[2], ARGV[4], ARGV[5]

local function found()
  local same, agreeing, without = nil, {}, {}
  for at = 3, #KEYS do
    local fields = redis.call('HGETALL', KEYS[at])
    for pair = 1, #fields, 2 do
      local delivery, number, part, of, attempt =
        fields[pair + 1]:match('^(%S+) (%S+) (%S+) (%S+) (%S+)$')
      local one = { key = KEYS[at], delivery = delivery, part = part, of = of, attempt = attempt }
      local agreement = compare(number, first, second)
      if at == 3 and fields[pair] == exact and agreement ~= 'differs' then same = one end
      if agreement == 'agrees' then
        table.insert(agreeing, one)
      elseif agreement == 'unknown' and at == 3 then
        table.insert(without, one)
      end
    end
    if same then return same end
    if #agreeing > 0 then return #agreeing == 1 and agreeing[1] or nil end
  end
  return #without == 1 and without[1] or nil
end

local one = found()
if not one then
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  put(KEYS[2], exact, table.concat({status, ARGV[3], first, second}, ' '), ARGV[7])
  redis.call('ZADD', KEYS[1], now, KEYS[2])
  redis.call('PEXPIRE', KEYS[1], ARGV[7])
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[7]))
  while redis.call('ZCARD', KEYS[1]) > tonumber(ARGV[8]) do
    redis.call('DEL', redis.call('ZPOPMIN', KEYS[1])[1])
  end
  return {'early'}
end

local parts_key = ARGV[9] .. one.delivery .. ':' .. one.attempt
local verdict = mark(parts_key, one.part, one.of, status, redis.call('PTTL', one.key))
if verdict == '' then return {'open', one.delivery} end
-- Told again it is understood again, for as long as centres repeat themselves.
if redis.call('PTTL', one.key) > tonumber(ARGV[6]) then redis.call('PEXPIRE', one.key, ARGV[6]) end
return {'settled', one.delivery, verdict}
