-- Splits the arguments: the last one says how many before it are effects. What is left of ARGV is what the script has without.
local given, own = ARGV, #ARGV - 1 - tonumber(ARGV[#ARGV])
local ARGV, took = {}, {}
for i = 1, own do ARGV[i] = given[i] end
