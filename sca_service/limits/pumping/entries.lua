-- What is in force, what ends last first, from a place in the index on; of more than ten thousand, the first of them.
--
-- KEYS  the index
-- ARGV  'block' or 'allow', how many, how many to pass over
-- Returns the fields of each

local found, passed_over = {}, 0
for _, id in ipairs(redis.call('ZREVRANGE', KEYS[1], 0, 9999)) do
  local fields = redis.call('HGETALL', entry_key(ARGV[1], id))
  if #fields == 0 then
    redis.call('ZREM', KEYS[1], id)
  elseif passed_over < tonumber(ARGV[3]) then
    passed_over = passed_over + 1
  else
    found[#found + 1] = fields
    if #found >= tonumber(ARGV[2]) then break end
  end
end
return found
