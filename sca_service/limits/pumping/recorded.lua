-- A block's event is on record.
--
-- KEYS  the block

if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[1], 'recorded', '1') end
