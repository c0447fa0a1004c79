-- Take out a block or something that is allowed; a lifted subject starts anew, or it would be blocked again at once.
--
-- KEYS  the index
-- ARGV  'block' or 'allow', its id
-- Returns the entry's fields, empty when it is not in force

local key = entry_key(ARGV[1], ARGV[2])
local fields = redis.call('HGETALL', key)
if #fields == 0 then return fields end
local pointer = redis.call('HGET', key, 'pointer')
local _, current = in_force(ARGV[1], pointer)
redis.call('DEL', key)
redis.call('ZREM', KEYS[1], ARGV[2])
if current ~= ARGV[2] then return {} end
redis.call('DEL', pointer)
if ARGV[1] == 'block' then
  local name = string.sub(pointer, #'{pumping}:block:' + 1)
  local counters = '{pumping}:count:' .. name
  for slot = 0, HOUR_SLOTS - 1 do
    local at, _, _, verified = read_hour(redis.call('HGET', counters, 'h' .. whole(slot)))
    if at >= 0 then redis.call('HSET', counters, 'h' .. whole(slot), whole(at) .. ':0:0:' .. whole(verified)) end
  end
  for slot = 0, MINUTE_SLOTS - 1 do redis.call('HDEL', counters, 'm' .. whole(slot)) end
  redis.call('DEL', '{pumping}:countries:' .. name)
end
return fields
