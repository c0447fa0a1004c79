-- What is remembered of one payer, device, payee, address or phone line.
--
-- KEYS  its hash
-- Returns {seconds by Redis, how many different others in the last one to two days, field, value, …}

local found = redis.call('HGETALL', KEYS[1])
local others = redis.call('PFCOUNT', day_key(KEYS[1], 0), day_key(KEYS[1], 1))
return {now, others, unpack(found)}
