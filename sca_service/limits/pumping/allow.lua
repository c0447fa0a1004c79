-- Put something on the allow-list; what stood there of the same subject gives way.
--
-- KEYS  its place, the index
-- ARGV  id, seconds, scope, name, why
-- Returns the entry's fields

local before = redis.call('GET', KEYS[1])
local _, old = in_force('allow', KEYS[1])
if before and old then
  redis.call('DEL', entry_key('allow', old))
  redis.call('ZREM', KEYS[2], old)
end
return redis.call('HGETALL', put_entry('allow', KEYS[1], KEYS[2], tonumber(ARGV[2]), ARGV[1], 'scope', ARGV[3],
  'subject', ARGV[4], 'why', ARGV[5]))
