-- Count what a receipt or an approval says of a supplier and network.
--
-- KEYS  prefix of the counters
-- ARGV  network, then each counter that goes up by one

for at = 2, #ARGV do count(KEYS[1], ARGV[1], ARGV[at], 1) end
return 1
