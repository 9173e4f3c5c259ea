-- The load. wrk ... -s mixed.lua URL -- FILE KIND SEED
-- FILE has a line for each user: id, token and the ids of the user's tasks, separated by tabs.
-- KIND is mixed, list, long (1,000 tasks), get, post, patch,
-- flood (one user's lists) or rejected (no token, ten requests a second and connection).

local users = {}
local random = math.random
local kinds = {}

function init(arguments)
  local host = "Host: " .. wrk.host .. ":" .. wrk.port .. "\r\n"
  for line in io.lines(arguments[1]) do
    local id, token, tasks = line:match("^([^\t]+)\t([^\t]+)\t(.+)$")
    local base = " /api/" .. id .. "/tasks"
    local rest = " HTTP/1.1\r\n" .. host .. "Authorization: Bearer " .. token .. "\r\n"
    local function body(json)
      return rest .. "Content-Type: application/json\r\nContent-Length: " .. #json .. "\r\n\r\n" .. json
    end
    local user = {
      list = "GET" .. base .. "?limit=20" .. rest .. "\r\n",
      long = "GET" .. base .. "?limit=1000" .. rest .. "\r\n",
      post = "POST" .. base .. body('{"title":"Buy milk","description":"Two litres, semi-skimmed"}'),
      rejected = "GET" .. base .. "?limit=20 HTTP/1.1\r\n" .. host .. "\r\n",
      get = "GET" .. base .. "/",
      get_rest = rest .. "\r\n",
      patch = "PATCH" .. base .. "/",
      patch_rest = { "/complete" .. body('{"completed":true}'), "/complete" .. body('{"completed":false}') },
      tasks = {},
    }
    for task in tasks:gmatch("%d+") do
      user.tasks[#user.tasks + 1] = task
    end
    users[#users + 1] = user
  end
  math.randomseed(tonumber(arguments[3]))
  if arguments[2] == "rejected" then
    function delay()
      return 100
    end
  end
  request = kinds[arguments[2]]
end

function kinds.list()
  return users[random(#users)].list
end

function kinds.flood()
  return users[1].list
end

function kinds.long()
  return users[random(#users)].long
end

function kinds.get()
  local user = users[random(#users)]
  return user.get .. user.tasks[random(#user.tasks)] .. user.get_rest
end

function kinds.post()
  return users[random(#users)].post
end

function kinds.patch()
  local user = users[random(#users)]
  return user.patch .. user.tasks[random(#user.tasks)] .. user.patch_rest[random(2)]
end

function kinds.rejected()
  return users[random(#users)].rejected
end

function kinds.mixed()
  local dice = random(100)
  if dice <= 50 then
    return kinds.list()
  elseif dice <= 75 then
    return kinds.get()
  elseif dice <= 90 then
    return kinds.patch()
  end
  return kinds.post()
end

-- One line of JSON: times in microseconds; status counts answers of 400 and above.
function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"duration":%d,"p50":%d,"p95":%d,"p99":%d,"status":%d,"socket":%d}\n',
    summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(95), latency:percentile(99),
    errors.status, errors.connect + errors.read + errors.write + errors.timeout
  ))
end
