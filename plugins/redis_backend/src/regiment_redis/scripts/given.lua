-- Splits the arguments: the last one says how many before it are effects. What is left of ARGV is what the script has without.
local given, own = ARGV, #ARGV - 1 - tonumber(ARGV[#ARGV])
local ARGV, took = {unpack(given, 1, math.min(own, 1000))}, {}
for i = 1001, own do ARGV[i] = given[i] end
