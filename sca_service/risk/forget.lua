-- Forget one payer: what was learned, and the addresses that were counted.
--
-- KEYS  its hash
-- Returns how many keys there were

return redis.call('DEL', KEYS[1], day_key(KEYS[1], 0), day_key(KEYS[1], 1), day_key(KEYS[1], 2))
