-- What the receipts leave behind that this step has taken (`took`: which; true: all that were sent).
if #given - 1 > own then effects().leave(given, own + 1, #given - 1, function(receipt) return took == true or took[receipt] end) end
