-- What the receipts leave behind that this step has taken (`took`: which; true: all that were sent). At first those that leave
-- nothing but a record beside this queue, not listed, as with most results: "V" ms-or-empty how-many, then receipt, key and
-- body of each.
if #given - 1 > own then
  local at, to, begun, e = own + 1, #given - 1, nil, nil
  while at < to and given[at] == 'V' do
    local ttl, next = given[at + 1], at + 3 + 3 * given[at + 2]
    for i = at + 3, next - 1, 3 do
      if took == true or took[tonumber(given[i])] then
        if not begun then
          --#include begun.lua
        end
        local key, body = given[i + 1], given[i + 2]
        --#include set.lua
        if put and begun.followed then
          e = e or effects(begun)
          e.kept(begun, key, ttl, body)
        end
      end
    end
    at = next
  end
  if at <= to then (e or effects(begun)).leave(given, at, to, took) end
end
