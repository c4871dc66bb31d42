/*
 * Claiming a request id: the one script that lets something new be ordered.
 */
#include "scripts_private.h"

/*
 * KEYS: canary, request, stop, wrapped. ARGV: id, src, epoch, original or '', digest, key digest or
 * '', wrapped key or '', adopting, unsent, has verdict, verdict ('' = of no incarnation), discard,
 * pardon.
 *
 * mine: held by this source, or, for a resume, by its original or an earlier resume of it. Epochs
 * compare within one partition only. unknown(): ours from now on, but only to find out; take():
 * ours to order. An attempt that was called and then judged "none" has vanished; one that was only
 * claimed has not, whoever adopted it.
 */
const char ew_lua_claim_rules[] =
    "local id, src, ep, orig, dg = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]\n"
    "local adopting, unsent = ARGV[8] == '1', ARGV[9] == '1'\n"
    "local judged, verdict, discard = ARGV[10] == '1', ARGV[11], ARGV[12] == '1'\n"
    "local c, cur = canary(KEYS[1])\n"
    "if c ~= 0 then cur = '' end\n"
    "local r = read(KEYS[2])\n"
    "local stop = redis.call('GET', KEYS[3]) or ''\n"
    "local w = redis.call('HMGET', KEYS[4], 'w', 'ks')\n"
    "w = {w[1] or '', w[2] or ''}\n"
    "local mine = r and (r.src == src or (orig ~= '' and (r.src == orig or r.osrc == orig)))\n"
    "local function part(s) return string.match(s, '^(.*)/%d+$') end\n"
    "local function reply(result, other)\n"
    "  local v = view(r, stop)\n"
    "  if w[2] ~= '' and v[6] == '' then v[6] = w[2] end\n"
    "  return {result, cur, w[1], other or '', unpack(v)}\n"
    "end\n"
    "local function own(st)\n"
    "  r.st, r.src, r.osrc, r.ep = st, src, orig, ep\n"
    "  write(KEYS[2], r)\n"
    "end\n"
    "local function fresh(at)\n"
    "  r = {dg = dg, at = at, ca = at, ks = '', oid = '', out = '', mb = '', mo = '',\n"
    "    va = 0}\n"
    "end\n"
    "local function unknown()\n"
    "  if not r then\n"
    "    fresh(1)\n"
    "    if cur == '' then r.st, r.src, r.osrc, r.ep = '', '', '', 0 return end\n"
    "  end\n"
    "  if r.at < 1 then r.at = 1 end\n"
    "  own('unknown')\n"
    "end\n"
    "local function key_holder(ks)\n"
    "  local holder = redis.call('GET', prefix .. 'key:' .. ks)\n"
    "  if not holder or holder == id then return nil end\n"
    "  local st = redis.call('HGET', prefix .. 'request:' .. holder, 'st')\n"
    "  if not st or st == 'done' then return nil end\n"
    "  return holder\n"
    "end\n"
    "local function take(again)\n"
    "  local ks = ARGV[6]\n"
    /* The key of an order that was ended may have come back by then. */
    "  if discard and ARGV[7] ~= '' then w = {'', ''} end\n"
    "  if w[1] ~= '' then ks = w[2] end\n"
    "  if ks ~= '' then\n"
    "    local holder = key_holder(ks)\n"
    "    if holder then return reply('key-busy', holder) end\n"
    "    redis.call('SET', prefix .. 'key:' .. ks, id)\n"
    "  end\n"
    "  if w[1] == '' and ARGV[7] ~= '' then\n"
    "    redis.call('HSET', KEYS[4], 'w', ARGV[7], 'ks', ks)\n"
    "    w = {ARGV[7], ks}\n"
    "  end\n"
    "  if not r then fresh(1) r.ca = 0\n"
    "  elseif again or r.ca >= r.at then\n"
    "    if judged and not discard and r.ca >= r.at then r.va = r.va + 1 end\n"
    "    r.at = r.at + 1\n"
    "    r.oid, r.out, r.mb, r.mo = '', '', '', ''\n"
    "  end\n"
    "  r.ks = ks\n"
    "  own('claimed')\n"
    "  return reply('yes')\n"
    "end\n";

/* air: a call may have been made, and nothing says that it was not. */
const char ew_lua_claim[] =
    "if r and r.dg ~= dg then return reply(cur == '' and 'no-canary' or 'conflict') end\n"
    "if mine and r.st == 'done' then return reply('done') end\n"
    /* Left by a committed transaction, and only a resume may take it from there: this is the
     * original's zombie, or its mark was lost with the group's offsets. */
    "local left = r and (r.osrc == src or mine and (r.st == 'waiting' or r.st == 'parked'))\n"
    "if left and orig == '' then\n"
    "  local late = adopting or judged or unsent\n"
    "  return reply((late or r.st == 'done') and 'done' or 'fenced')\n"
    "end\n"
    "if mine and part(r.src) == part(src) and r.ep > ep then return reply('fenced') end\n"
    /* What a deposed owner knows came late, but it knows: "none" was wrong. */
    "local told = r and (r.mb ~= '' or r.mo ~= '')\n"
    "if mine and judged and not discard and told and r.st ~= 'outcome' then\n"
    "  r.out, r.oid = r.mb, r.mo\n"
    "  own('outcome')\n"
    "end\n"
    "if mine and r.st == 'outcome' and not discard then\n"
    "  own('outcome')\n"
    "  return reply('outcome')\n"
    "end\n"
    /* Parking may not have come through: what it would have forgotten is forgotten now. */
    "if mine and ARGV[13] == '1' then\n"
    "  r.va = 0\n"
    "  redis.call('HSET', KEYS[2], 'va', '0')\n"
    "end\n"
    "if r and not mine then\n"
    "  if cur == '' then return reply('no-canary') end\n"
    "  if r.st == 'done' then return reply('duplicate') end\n"
    "  return reply(r.st == 'parked' and 'parked' or 'wait')\n"
    "end\n"
    "if judged and cur == '' then return reply('no-canary') end\n"
    "if judged and verdict ~= cur then unknown() return reply('stale') end\n"
    "local air = adopting\n"
    /* The room's word is not the last: what left it knows whether it ordered. */
    "if r and (r.st == 'waiting' or r.st == 'parked') and redis.call('HGET', KEYS[2], 'wo') == '1' "
    "then\n"
    "  air = true\n"
    "end\n"
    "if r and (r.st == 'calling' or r.st == 'unknown') then\n"
    "  air = not (unsent and r.src == src and r.ep == ep)\n"
    "end\n"
    "if air and not judged then unknown() return reply('reconcile') end\n"
    "if cur == '' then return reply('no-canary') end\n"
    "if stop ~= '' then return reply('stopped') end\n"
    "return take(judged or unsent)\n";
