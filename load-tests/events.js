// Scenario perf1: events, at a fixed rate. README.md says how to run it.
import { scenario, send, thresholds } from './send.js';

export const options = { scenarios: { events: scenario }, thresholds };

export { send };
