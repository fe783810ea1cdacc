-- In: BENCH_PROOFS, a file of proofs, one a line; BENCH_HEADS, a file of request heads, one an agent, ending in "DPoP: ".
-- BENCH_BODY, where it is there, is a file that follows each head.
-- Out: each proof sent once, by its agent in turn; at the end one line of JSON. Without the two files wrk's own request is sent.
local proofs_file = os.getenv("BENCH_PROOFS")
local heads_file = os.getenv("BENCH_HEADS")
local body_file = os.getenv("BENCH_BODY")

if proofs_file then
  local heads, proofs, sent, tail = {}, {}, 0, "\r\n\r\n"

  function init()
    -- A head stands on one line, with "|" where its lines end.
    for line in io.lines(heads_file) do heads[#heads + 1] = (line:gsub("|", "\r\n")) end
    for line in io.lines(proofs_file) do proofs[#proofs + 1] = line end
    if body_file then
      local file = assert(io.open(body_file, "rb"))
      tail = tail .. file:read("*a")
      file:close()
    end
  end

  function request()
    if sent >= #proofs then
      -- Never one twice. What is under way ends with the round.
      wrk.thread:stop()
      sent = #proofs - 1
    end
    sent = sent + 1
    return heads[(sent - 1) % #heads + 1] .. proofs[sent] .. tail
  end
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    'BENCH {"requests":%d,"durationUs":%d,"statusErrors":%d,"socketErrors":%d,"p50Us":%d}\n',
    summary.requests, summary.duration, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout, latency:percentile(50)))
end
