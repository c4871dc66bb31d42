/*
 * The table of scripts, and the parts that several of them share.
 */
#include "scripts_private.h"

#include <stddef.h>

/* An incarnation of Redis is a nonce and the server's run id: a restarted or promoted server
 * carries the canary on, but not its run id. Numbers leave Lua through num(): `..` would round
 * them. */
const char ew_lua_canary[] = "local prefix = '" EW_STORE_PREFIX "'\n"
                             "local function num(x) return string.format('%.0f', x) end\n"
                             "local function run_id()\n"
                             "  return string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')\n"
                             "end\n"
                             "local function canary(key)\n"
                             "  local v = redis.call('GET', key)\n"
                             "  if not v then return 1, '' end\n"
                             "  local run = run_id()\n"
                             "  if string.sub(v, -#run - 1) ~= ':' .. run then return 2, v end\n"
                             "  return 0, v\n"
                             "end\n";

/*
 * Fields of request:<id>: st state, dg digest, src who holds it ("topic/partition/offset"), osrc
 * the original when src is a resume, ep epoch, at attempt, ca the attempt last called, ks digest of
 * its public key, oid order id, out outcome, mb, mo and ma the mailbox (outcome, order id,
 * attempt), va how many attempts vanished, lo the orders that are ended because their keys were
 * lost (with blanks between), mi the one that is ended because it does not fit and how its request
 * is rejected, os the orders of all its attempts, ver version of a state record, rb nonce of the
 * rebuild that restored it, fs the event that it repeated then, aw the request id whose answer it
 * awaits.
 *
 * What the mailbox holds of another attempt, or of an order that is ended, is not there: it may
 * have been told very late. It goes with its own order id, and before an outcome that says nothing
 * but that. keyed(): an outcome with a key of GlobalSign's making, see ew_outcome_read().
 */
const char ew_lua_record[] =
    "local names = {'st', 'dg', 'src', 'osrc', 'ep', 'at', 'ca', 'ks', 'oid', 'out', 'mb', 'mo',\n"
    "  'ma', 'va', 'lo', 'mi', 'cd'}\n"
    "local function lost(r, oid)\n"
    "  return oid ~= '' and string.find(' ' .. r.lo .. ' ', ' ' .. oid .. ' ', 1, true) ~= nil\n"
    "end\n"
    "local function read(key)\n"
    "  local v = redis.call('HMGET', key, unpack(names))\n"
    "  if not v[1] then return nil end\n"
    "  local r = {}\n"
    "  for i, n in ipairs(names) do r[n] = v[i] or '' end\n"
    "  r.ep = tonumber(r.ep) or 0\n"
    "  r.at = tonumber(r.at) or 0\n"
    "  r.ca = tonumber(r.ca) or 0\n"
    "  r.va = tonumber(r.va) or 0\n"
    "  r.cd = tonumber(r.cd) or 0\n"
    "  if r.cd < 0 or r.cd > 1e15 then r.cd = 0 end\n"
    "  if tonumber(r.ma) ~= r.at or lost(r, r.mo) then\n"
    "    r.mb, r.mo, r.ma = '', '', ''\n"
    "  end\n"
    "  return r\n"
    "end\n"
    "local function write(key, r)\n"
    "  redis.call('HSET', key, 'st', r.st, 'dg', r.dg, 'src', r.src, 'osrc', r.osrc,\n"
    "    'ep', num(r.ep), 'at', num(r.at), 'ca', num(r.ca), 'ks', r.ks, 'oid', r.oid,\n"
    "    'out', r.out, 'mb', r.mb, 'mo', r.mo, 'ma', r.ma or '', 'va', num(r.va),\n"
    "    'lo', r.lo or '', 'mi', r.mi or '')\n"
    "end\n"
    "local function owns(key, oid)\n"
    "  local all = redis.call('HGET', key, 'os') or ''\n"
    "  redis.call('HSET', key, 'os', all .. oid .. ' ')\n"
    "end\n"
    "local function is_of(r, src, orig)\n"
    "  return r.src == src or r.osrc == src or\n"
    "    (orig ~= '' and (r.src == orig or r.osrc == orig))\n"
    "end\n"
    "local function keyed(out) return string.find(out, '^%x+\\n') ~= nil end\n"
    "local function view(r, stop)\n"
    "  if not r then return {'', '', '', '0', '0', '', '', '', stop, '0', '', '', '0'} end\n"
    "  local out, oid = r.out, r.oid\n"
    "  if r.st ~= 'done' and (r.st ~= 'outcome' or (out == '' and r.mo == oid)) then\n"
    "    out = r.mb\n"
    "    if out ~= '' and r.mo ~= '' then oid = r.mo end\n"
    "  end\n"
    "  if oid == '' then oid = r.mo end\n"
    "  return {r.st, r.dg, r.src, num(r.ep), num(r.at), r.ks, oid, out, stop, num(r.va),\n"
    "    r.lo or '', r.mi or '', num(r.cd or 0)}\n"
    "end\n";

/* Indexes of an answered request, with their expiry. The issuer comes as its SHA-256. A key digest
 * stays with whoever has it now. */
const char ew_lua_index[] =
    "local function serial_key(issuer, serial)\n"
    "  return prefix .. 'serial:' .. issuer .. ':' .. serial\n"
    "end\n"
    "local function index(id, ttl, oid, issuer, serial, first)\n"
    "  if oid ~= '' then redis.call('SET', prefix .. 'order:' .. oid, id, 'PX', ttl) end\n"
    "  if serial ~= '' then redis.call('SET', serial_key(issuer, serial), id, 'PX', ttl) end\n"
    "  for i = first, #ARGV do\n"
    "    local k = prefix .. 'key:' .. ARGV[i]\n"
    "    local holder = redis.call('GET', k)\n"
    "    if not holder or holder == id then redis.call('SET', k, id, 'PX', ttl) end\n"
    "  end\n"
    "end\n"
    "local function release(id, ks, first)\n"
    "  if ks == '' then return end\n"
    "  for i = first, #ARGV do if ARGV[i] == ks then return end end\n"
    "  local k = prefix .. 'key:' .. ks\n"
    "  if redis.call('GET', k) == id then redis.call('DEL', k) end\n"
    "end\n";

const struct ew_script_text ew_scripts[EW_SCRIPT_COUNT] = {
    [EW_SCRIPT_CANARY] = {"canary", {ew_lua_canary, ew_lua_canary_state}},
    [EW_SCRIPT_LOOKUP] = {"lookup", {ew_lua_canary, ew_lua_record, ew_lua_lookup}},
    [EW_SCRIPT_AWAIT] = {"await", {ew_lua_canary, ew_lua_record, ew_lua_await}},
    [EW_SCRIPT_FIND] = {"find", {ew_lua_canary, ew_lua_index, ew_lua_find}},
    [EW_SCRIPT_CLAIM] = {"claim", {ew_lua_canary, ew_lua_record, ew_lua_claim_rules, ew_lua_claim}},
    [EW_SCRIPT_CALLING] = {"calling", {ew_lua_canary, ew_lua_record, ew_lua_calling}},
    [EW_SCRIPT_UNKNOWN] = {"unknown", {ew_lua_canary, ew_lua_record, ew_lua_unknown}},
    [EW_SCRIPT_OUTCOME] = {"outcome", {ew_lua_canary, ew_lua_record, ew_lua_outcome}},
    [EW_SCRIPT_PARK] = {"park", {ew_lua_canary, ew_lua_record, ew_lua_park}},
    [EW_SCRIPT_TAKE_ORDER] = {"take-order", {ew_lua_canary, ew_lua_record, ew_lua_take_order}},
    [EW_SCRIPT_LOSING] = {"losing", {ew_lua_canary, ew_lua_record, ew_lua_losing}},
    [EW_SCRIPT_MISFIT] = {"misfit", {ew_lua_canary, ew_lua_record, ew_lua_misfit}},
    [EW_SCRIPT_STOP] = {"stop", {ew_lua_canary, ew_lua_stop}},
    [EW_SCRIPT_CERTIFIED] = {"certified", {ew_lua_canary, ew_lua_index, ew_lua_certified}},
    [EW_SCRIPT_DONE] = {"done", {ew_lua_canary, ew_lua_record, ew_lua_index, ew_lua_done}},
    [EW_SCRIPT_REWRITE] = {"rewrite", {ew_lua_rewrite}},
    [EW_SCRIPT_VERSION] = {"version", {ew_lua_canary, ew_lua_version}},
    [EW_SCRIPT_BEGIN] = {"begin", {ew_lua_canary, ew_lua_begin}},
    [EW_SCRIPT_SWEEP] = {"sweep", {ew_lua_canary, ew_lua_sweep}},
    [EW_SCRIPT_RENEW] = {"renew", {ew_lua_canary, ew_lua_renew}},
    [EW_SCRIPT_FINISH] = {"finish", {ew_lua_canary, ew_lua_finish}},
    [EW_SCRIPT_RESTORE_STATE] = {"restore-state",
                                 {ew_lua_canary, ew_lua_record, ew_lua_index,
                                  ew_lua_restore_state}},
    [EW_SCRIPT_RESTORE_INFLIGHT] = {"restore-inflight",
                                    {ew_lua_canary, ew_lua_record, ew_lua_restore_inflight}},
    [EW_SCRIPT_TOKEN] = {"token", {ew_lua_bucket, ew_lua_token}},
    [EW_SCRIPT_REFUND] = {"refund", {ew_lua_bucket, ew_lua_refund}},
    [EW_SCRIPT_NOT_BEFORE] = {"not-before", {ew_lua_not_before}},
    [EW_SCRIPT_OPEN] = {"open", {ew_lua_canary, ew_lua_open}},
    [EW_SCRIPT_ACCOUNT] = {"account", {ew_lua_account}},
    [EW_SCRIPT_BOOTSTRAP] = {"bootstrap", {ew_lua_canary, ew_lua_bootstrap}},
    [EW_SCRIPT_LEASE] = {"lease", {ew_lua_lease}},
    [EW_SCRIPT_OWNERS] = {"owners", {ew_lua_canary, ew_lua_owners}},
    [EW_SCRIPT_CONDEMN] = {"condemn", {ew_lua_canary, ew_lua_condemn}},
};
