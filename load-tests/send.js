// Sends events to ingest at a fixed rate, whether or not earlier requests have been answered (an open model): a system
// that slows down is seen to be slow, because its load does not slow down with it.
import http from 'k6/http';
import { check } from 'k6';
import { Counter } from 'k6/metrics';
import { batch, body, duration, event, headers, ingestUrl, p95Ms, rate, tenant } from './parameters.js';

// Requests in flight at most; at more than that k6 drops requests, and the run fails.
const inFlightMax = 500;
const stored = new Counter('events_stored');

export const scenario = {
  executor: 'constant-arrival-rate',
  exec: 'send',
  rate,
  timeUnit: '1s',
  duration,
  preAllocatedVUs: Math.min(inFlightMax, Math.max(10, Math.ceil(rate / 5))),
  maxVUs: inFlightMax,
};

export const thresholds = {
  'http_req_failed{scenario:events}': ['rate==0'],
  'checks{scenario:events}': ['rate==1'],
  'http_req_duration{scenario:events}': [`p(95)<${p95Ms}`],
  // Not even sent: the rate that was asked for was not reached.
  'dropped_iterations{scenario:events}': [`count<${Math.max(1, rate / 10)}`],
};

export function send() {
  const url = `${ingestUrl}/events/${tenant}/${event}`;
  const answer = http.post(url, body, { headers: { 'Content-Type': 'application/json', ...headers } });
  const all = check(answer, {
    'every event is acknowledged': (r) => r.status === 200 && r.json('events.#') === batch,
  });
  if (all) {
    stored.add(batch);
  }
}
