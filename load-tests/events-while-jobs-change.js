// Scenario perf2: events at a fixed rate, while their job is deployed again and again, each time a little different, so
// that every deployment is a new version that all services have to take up. Events must not notice.
import http from 'k6/http';
import { check } from 'k6';
import { changeSeconds, duration, headers, jobFile, registryUrl } from './parameters.js';
import { scenario, send, thresholds } from './send.js';

export const options = {
  scenarios: {
    events: scenario,
    changes: {
      executor: 'constant-arrival-rate',
      exec: 'change',
      rate: 1,
      timeUnit: `${changeSeconds}s`,
      duration,
      preAllocatedVUs: 1,
      maxVUs: 5,
    },
  },
  thresholds: {
    ...thresholds,
    'http_req_failed{scenario:changes}': ['rate==0'],
    'http_req_duration{scenario:changes}': ['p(95)<2000'],
  },
};

export { send };

export function change() {
  const job = jobFile.replace(/^name:.*$/m, `name: Changed at ${new Date().toISOString()}`);
  const answer = http.post(`${registryUrl}/v1/jobs?update=true`, job, {
    headers: { 'Content-Type': 'application/yaml', ...headers },
  });
  check(answer, { 'the job is deployed': (r) => r.status >= 200 && r.status < 300 });
}
