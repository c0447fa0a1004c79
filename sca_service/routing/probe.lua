-- Let one message try a supplier whose breaker is half open: exactly one at a time, over all workers.
--
-- KEYS  breaker
-- Returns the number of the probe, 0 when it must not be tried

local breaker = read_breaker(KEYS[1])
if breaker.open_until == 0 or now < breaker.open_until or now < breaker.probe_until then return 0 end
breaker.probe = breaker.probe + 1
breaker.probe_until = now + PROBE_MS
write_breaker(KEYS[1], breaker)
return breaker.probe
