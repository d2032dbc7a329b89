// 1,000 users look at courses for two minutes (S110).
//
//   k6 run -e LECTERN_URL=… -e GOOGLE_CLOUD_PROJECT=… -e FIREBASE_REGION=… -e ID_TOKEN=… \
//          -e COURSE_ID=… -e ASSIGNMENT_ID=… tests/load/view_courses.js
//
// A user lists a course's assignments and opens one. How many of these requests were answered from
// memory is read from /metrics: a request of get_assignment that was billed no read is a hit.
// `python -m tests.load view_courses` does the same without k6.

import http from 'k6/http';
import { check, sleep } from 'k6';
import { Gauge } from 'k6/metrics';

const cacheHits = new Gauge('cache_hits');

export const options = {
  vus: 1000,
  duration: '2m',
  thresholds: {
    http_req_duration: ['avg<200', 'p(95)<1000'],
    cache_hits: ['value>0.4'],
  },
};

const functions = `${__ENV.LECTERN_URL}/${__ENV.GOOGLE_CLOUD_PROJECT}/${__ENV.FIREBASE_REGION}`;
const parameters = {
  headers: { 'content-type': 'application/json', authorization: `Bearer ${__ENV.ID_TOKEN}` },
};

export function setup() {
  return counted();
}

export default function () {
  const listed = http.post(
    `${functions}/list_assignments`, JSON.stringify({ courseId: __ENV.COURSE_ID }), parameters,
  );
  check(listed, { listed: (r) => r.status === 200 });
  const opened = http.post(
    `${functions}/get_assignment`, JSON.stringify({ assignmentId: __ENV.ASSIGNMENT_ID }), parameters,
  );
  check(opened, { opened: (r) => r.status === 200 });
  sleep(5 + Math.random() * 10);
}

export function teardown(before) {
  const after = counted();
  cacheHits.add(1 - (after.reads - before.reads) / (after.needed - before.needed));
}

// What the two requests read from Firestore, against what they would read if nothing were kept: the
// course and the query (at least) for a list; the course, the header and the form for an assignment.
function counted() {
  const text = http.get(`${__ENV.LECTERN_URL}/metrics`).body;
  const reads = sum(text, /^lectern_billed_operations_total\{function="(?:list_assignments|get_assignment)",kind="reads"\} (\S+)/gm);
  const lists = sum(text, /^lectern_requests_total\{function="list_assignments",status="200"\} (\S+)/gm);
  const views = sum(text, /^lectern_requests_total\{function="get_assignment",status="200"\} (\S+)/gm);
  return { reads, needed: 2 * lists + 3 * views };
}

function sum(text, pattern) {
  let total = 0;
  for (const found of text.matchAll(pattern)) total += Number(found[1]);
  return total;
}
