-- A partition's epoch: which server's reign a challenge was issued in. A replica that takes over may lack the last
-- attempts that were spent, so challenges of an epoch that is over are void (docs/decisions/0025).
--
-- `master_replid` names a reign: a server draws a new one when it is promoted, and when it starts, and its replicas have
-- its. So the server itself tells, here and now, whether the partition's epoch is its own; no caller has to know.
local function current_epoch()
  local reign = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
  local known = redis.call('HMGET', partition .. 'reign', 'of', 'epoch')
  if known[1] == reign then return tonumber(known[2]) end
  local epoch = (tonumber(known[2]) or 0) + 1
  redis.call('HSET', partition .. 'reign', 'of', reign, 'epoch', epoch)
  return epoch
end
