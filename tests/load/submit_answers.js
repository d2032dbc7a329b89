// 100 users submit answers for a minute (S109).
//
//   k6 run -e LECTERN_URL=… -e GOOGLE_CLOUD_PROJECT=… -e FIREBASE_REGION=… -e ID_TOKEN=… \
//          -e ASSIGNMENT_ID=… -e QUESTION_ID=… tests/load/submit_answers.js
//
// The first three are in .local/env while `make run` runs. QUESTION_ID must be a question that takes a text.
// `python -m tests.load submit_answers` does the same without k6, and makes the assignment itself.

import http from 'k6/http';
import { check, sleep } from 'k6';
import { Rate } from 'k6/metrics';

const throttled = new Rate('throttled');

export const options = {
  vus: 100,
  duration: '1m',
  thresholds: {
    http_req_duration: ['avg<500', 'p(95)<1000'],
    http_req_failed: ['rate<0.01'],
    throttled: ['rate==0'],
  },
};

const url = `${__ENV.LECTERN_URL}/${__ENV.GOOGLE_CLOUD_PROJECT}/${__ENV.FIREBASE_REGION}/submit_answer`;

export default function () {
  const body = JSON.stringify({
    assignmentId: __ENV.ASSIGNMENT_ID,
    questionId: __ENV.QUESTION_ID,
    answer: { text: `answer ${__VU} ${__ITER}` },
    submissionId: `k6-${__VU}-${__ITER}-${Date.now()}`,
  });
  const response = http.post(url, body, {
    headers: { 'content-type': 'application/json', authorization: `Bearer ${__ENV.ID_TOKEN}` },
  });
  check(response, { 'on record': (r) => r.status === 202 && r.json('eventId') !== undefined });
  throttled.add(response.status === 429);
  sleep(1);
}
