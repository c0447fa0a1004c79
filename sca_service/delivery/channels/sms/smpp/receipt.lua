-- What both scripts of an SMS centre's receipts share. All keys of one supplier carry the same hash tag.
--
--   sent:<plain id>           hash: id as answered → 'delivery number part of attempt'
--   early:<plain id>          hash: id as told → 'status at number number', receipts of ids that nobody knows yet
--   early                     sorted set: the keys of those by when they came, so that they stay few
--   parts:<delivery>:<try>    hash: part → status, for a text of several parts
--
-- Numbers are pseudonyms, '-' where a receipt has none that could be compared.

local MOST_IN_HASH = 8

-- 'agrees', 'differs', or 'unknown' when the receipt names no number.
local function compare(number, first, second)
  if first == '-' and second == '-' then return 'unknown' end
  if number == first or number == second then return 'agrees' end
  return 'differs'
end

-- Put down what became of one part; the delivery's status, or nothing while parts are outstanding.
local function mark(parts_key, part, of, status, ttl_ms)
  if of == '1' then return status end
  if redis.call('HGET', parts_key, part) ~= 'undelivered' then redis.call('HSET', parts_key, part, status) end
  redis.call('PEXPIRE', parts_key, ttl_ms)
  local states = redis.call('HVALS', parts_key)
  for _, state in ipairs(states) do
    if state == 'undelivered' then return state end
  end
  if #states == tonumber(of) then return 'delivered' end
  return ''
end

local function put(key, field, value, ttl_ms)
  if redis.call('HEXISTS', key, field) == 0 and redis.call('HLEN', key) >= MOST_IN_HASH then
    redis.call('DEL', key) -- spellings of one number without end: no SMS centre has them
  end
  redis.call('HSET', key, field, value)
  redis.call('PEXPIRE', key, ttl_ms)
end
