-- What wrk sends, `METHOD TARGET BODY_BYTES` after its `--`, and what it saw, as one line of JSON.

function init(arguments)
   wrk.method, wrk.path = arguments[1], arguments[2]
   local size = tonumber(arguments[3])
   if size > 0 then wrk.body = string.rep("x", size) end
end

-- wrk counts whole microseconds; the median of a fast server lies somewhere within one.
local function median(latency)
   local half, before, total = 0, 0, 0
   for index = 1, #latency do
      local _, count = latency(index)
      total = total + count
   end
   half = total / 2
   for index = 1, #latency do
      local value, count = latency(index)
      if before + count >= half then return value - 0.5 + (half - before) / count end
      before = before + count
   end
   return 0
end

function done(summary, latency)
   local errors = summary.errors
   print(string.format(
      '{"requests": %d, "seconds": %.6f, "bytes": %.0f, "p50_us": %.2f, "p99_us": %.0f, "errors": '
         .. '{"connect": %d, "read": %d, "write": %d, "timeout": %d, "status": %d}}',
      summary.requests, summary.duration / 1e6, summary.bytes, median(latency), latency:percentile(99),
      errors.connect, errors.read, errors.write, errors.timeout, errors.status))
end
