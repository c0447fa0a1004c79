-- Claim an Idempotency-Key, or learn what became of the request that claimed it.
--
-- KEYS  1 the key's record
-- ARGV  1 fingerprint of the request  2 lease in ms  3 lifetime of the record in ms
-- Returns {'claimed', ms since the epoch of the first claim, 1 for a name in order}, {'in_flight'}, {'reused'} or {'done', sealed answer}

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

-- A release whose names are all chance leaves the mark out: what it may have created is called as it calls things.
local since, in_order = now, 1
local packed = redis.call('GET', KEYS[1])
if packed then
  local record = cmsgpack.unpack(packed)
  if record.fingerprint ~= ARGV[1] then return {'reused'} end
  if record.answer then return {'done', record.answer} end
  if now < record.lease_ends_at then return {'in_flight'} end
  since, in_order = record.since, record.in_order or 0
end
local claim = cmsgpack.pack({
  fingerprint = ARGV[1], since = since, in_order = in_order, lease_ends_at = now + tonumber(ARGV[2])})
redis.call('SET', KEYS[1], claim, 'PX', ARGV[3])
return {'claimed', since, in_order}
