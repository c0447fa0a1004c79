-- Forget one payer: what was learned, and what was counted.
--
-- KEYS  its hash
-- Returns how many keys there were

local key, today = KEYS[1], math.floor(now / DAY_SECONDS)
local before = key .. ':' -- an earlier release counted each day's addresses under its number
return redis.call(
  'DEL', key, key .. ':n', two_days_key(key, today - 1), two_days_key(key, today), two_days_key(key, today + 1),
  before .. whole(today), before .. whole(today - 1), before .. whole(today - 2)
)
