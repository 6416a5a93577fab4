// What a run can be told, all through the environment: see README.md.
export const ingestUrl = __ENV.INGEST_URL || 'http://localhost:8080';
export const registryUrl = __ENV.REGISTRY_URL || 'http://localhost:8081';
export const tenant = __ENV.TENANT || 'my-tenant-1';
export const event = __ENV.EVENT || 'customer-registration';
export const duration = __ENV.DURATION || '30s';
// Requests per second, and events in each.
export const rate = positive('RATE', 100);
export const batch = positive('BATCH', 10);
export const changeSeconds = positive('CHANGE_SECONDS', 2);
export const p95Ms = positive('P95_MS', 250);
export const headers = __ENV.API_KEY ? { Authorization: `Bearer ${__ENV.API_KEY}` } : {};

const example = '../examples/customer-registration';
export const jobFile = open(__ENV.JOB_FILE || `${example}/job.yaml`);
const events = JSON.parse(open(__ENV.EVENTS_FILE || `${example}/events.json`)).data;

// One body for the whole run: the file's events, over and over, until the batch is full.
export const body = JSON.stringify({ data: Array.from({ length: batch }, (_, i) => events[i % events.length]) });

function positive(name, otherwise) {
  const value = Number(__ENV[name] || otherwise);
  if (!(Number.isInteger(value) && value > 0)) {
    throw new Error(`${name} must be a whole number above 0, not ${__ENV[name]}`);
  }
  return value;
}
