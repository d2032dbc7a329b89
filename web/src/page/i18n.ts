/** The page's own words, in English and Hebrew. */

const english = {
  language: "Language",
  skipToContent: "Skip to content",
  tagline: "Answers in, figures live",
  signIn: "Sign in",
  signOut: "Sign out",
  email: "Email",
  password: "Password",
  signInFailed: "That email and password do not match.",
  signInUnreachable: "The sign-in service cannot be reached. Check the connection and try again.",
  demoAccounts: "Try it with a demo account",
  continueAs: "Continue as {name}",
  teacher: "Teacher",
  student: "Student",
  loading: "Loading…",
  tryAgain: "Try again",
  failedToLoad: "This could not be loaded.",
  assignments: "Assignments",
  noAssignments: "No assignments yet.",
  noAssignmentsTeacher: "No assignments yet. Import a question set to begin.",
  chooseAssignment: "Choose an assignment to begin.",
  questions: "{count} questions",
  questionsOne: "1 question",
  questionNumber: "Question {number}",
  points: "{points} pt",
  answeredOf: "{answered} of {count} answered",
  submit: "Submit answer",
  submitAgain: "Submit again",
  trueLabel: "True",
  falseLabel: "False",
  yourNumber: "Your number",
  yourAnswer: "Your answer",
  chooseOne: "Choose",
  chooseAll: "Choose all that apply",
  gradedByPerson: "A teacher will read and grade this.",
  answerFirst: "Give an answer first.",
  notANumber: "Write a number, for example 3.5.",
  textTooLong: "This is too long: at most 16 KB.",
  stateSaving: "Saving…",
  stateRecorded: "Recorded at {time}",
  stateOffline: "Saved on this device. It will be sent when you are back online.",
  stateUnavailable: "Saved on this device. The server cannot be reached; trying again.",
  stateThrottled: "Saved on this device. The server is busy; trying again soon.",
  stateSignedOut: "Saved on this device. Sign in again to send it.",
  stateRefused: "Not accepted: {reason}",
  discard: "Discard",
  receipt: "Receipt",
  answeredAt: "Answered {time}",
  offlineBanner: "You are offline. Answers are kept on this device and sent later.",
  waitingBanner: "{count} on this device, waiting to be sent",
  yourResults: "Your results",
  score: "Score",
  scoreOf: "{score} of {max}",
  right: "Right",
  partly: "Partly right ({percent})",
  wrong: "Not right",
  ungraded: "To be graded",
  classNow: "The class right now",
  answersGiven: "{count} answers",
  answersGivenOne: "1 answer",
  meanScore: "mean {percent}",
  students: "Students",
  answersLabel: "Answers",
  received: "Received",
  processed: "Processed",
  pending: "Pending",
  alpha: "Reliability (α)",
  alphaNote: "{count} complete",
  live: "Live",
  connecting: "Connecting…",
  reconnecting: "Waiting for the connection",
  asOf: "as of {ago}",
  noFiguresYet: "No answers yet. Figures appear here as soon as the first one is processed.",
  perQuestion: "Questions",
  facility: "Facility",
  facilityHelp: "mean share of full credit",
  discrimination: "Discrimination",
  discriminationHelp: "does this question separate strong from weak? −1 to 1",
  answered: "Answered",
  correct: "Fully right",
  question: "Question",
  distractors: "Choices made",
  rightPairs: "Matched rightly",
  showTable: "Show as a table",
  none: "–",
  gradebook: "Gradebook",
  learner: "Learner",
  attempts: "Attempts",
  showGradebook: "Show gradebook",
  refresh: "Refresh",
  nextPage: "Next page",
  firstPage: "First page",
  page: "Page {number}",
  noRows: "Nobody has answered yet.",
  importTitle: "Import questions",
  importName: "Title",
  importFormat: "Format",
  importSource: "Source",
  importPlaceholder: "Paste GIFT, CSV or JSON",
  importButton: "Import",
  importing: "Importing…",
  imported: "{count} questions imported.",
  importedOne: "1 question imported.",
  importFailed: "Nothing was imported.",
  skippedTitle: "Left out",
  place: "line {line}, column {column}",
  openAssignment: "Open the assignment",
  verify: "Verify the ledger",
  verifying: "Replaying every answer…",
  verified: "{events} answers replayed: identical. Digest {digest}",
  notVerified: "{events} answers replayed: different. Digest {digest}",
  liveRegion: "{received} received, {processed} processed, {pending} pending",
  explain: "Explain my mistake",
  explainMore: "Explain more",
  explainAgain: "Explain again",
  explaining: "The tutor is writing…",
  explainRung: "Hint {rung} of 4.",
  cannedReply: "Canned reply: no model is connected.",
  explainBusy: "That was a lot at once, or the budget is spent. Try again later.",
  explainUnavailable: "The tutor cannot be reached now. Try again.",
  explainFailed: "This could not be explained.",
  reviews: "Suggested evaluations",
  reviewsNote: "A model suggests; what counts is what you decide.",
  showReviews: "Show what waits",
  noReviews: "Nothing waits for a decision.",
  accept: "Accept",
  accepted: "Accepted",
  confidence: "confidence {percent}",
  agreement: "{count} decided: {share} accepted as suggested, weighted kappa {kappa}",
  flagSuspicious: "speaks to the model",
  flagRedacted: "personal data removed",
  flagUnsupported: "without evidence",
  flagMismatch: "points out of range",
  flagWithheld: "gave the answer away",
  explainOff: "The tutor is switched off here.",
  tutor: "Tutor",
  tutorAllow: "Learners may ask for hints and explanations",
  tutorOn: "On, everywhere within half a minute.",
  tutorOff: "Off, as for an exam, everywhere within half a minute.",
  pilot: "Try the rubric",
  pilotNote: "See what a model makes of some recorded answers before you rely on it. Nobody but teachers sees this.",
  pilotSize: "Answers to try",
  pilotPreview: "Show the cost",
  pilotNoAnswers: "Nobody has answered this question yet.",
  pilotSample: "{sample} of {answers} recorded answers would be tried.",
  pilotModel: "Model {model}, prices as of {date}.",
  pilotEstimate: "Estimated cost",
  pilotForAll: "For all answers",
  pilotBudgetLeft: "Left in the budget",
  pilotAtMost: "at most {amount}",
  pilotRun: "Try it now",
  pilotRunning: "The model is reading…",
  pilotDone: "Done.",
  pilotBudget: "The budget is spent; {left} answers are left.",
  pilotOutage: "The model does not answer; {left} answers are left. Try again later.",
  pilotCost: "{count} evaluated for {amount}.",
  pilotAgreement: "{count} also decided by a teacher: {share} the same, weighted kappa {kappa}",
  pilotCriteria: "How points are spread",
  pilotCriterion: "Criterion",
  pilotPoints: "Points: answers",
  pilotAnswers: "Answer by answer",
  pilotDecided: "Teacher",
  pilotFeedback: "Feedback",
  spend: "AI spending",
  showSpend: "Show spending",
  spent: "Spent",
  reserved: "Reserved",
  ceiling: "Ceiling",
  noSpend: "Nothing was spent yet.",
};

export type Word = keyof typeof english;

const hebrew: Record<Word, string> = {
  language: "שפה",
  skipToContent: "דילוג לתוכן",
  tagline: "תשובות נכנסות, נתונים בזמן אמת",
  signIn: "כניסה",
  signOut: "יציאה",
  email: "דואר אלקטרוני",
  password: "סיסמה",
  signInFailed: "הדואר האלקטרוני והסיסמה אינם תואמים.",
  signInUnreachable: "שירות הכניסה אינו זמין. בדקו את החיבור ונסו שוב.",
  demoAccounts: "נסו עם חשבון הדגמה",
  continueAs: "המשך בתור {name}",
  teacher: "מורה",
  student: "סטודנט",
  loading: "טוען…",
  tryAgain: "נסו שוב",
  failedToLoad: "הטעינה נכשלה.",
  assignments: "מטלות",
  noAssignments: "אין עדיין מטלות.",
  noAssignmentsTeacher: "אין עדיין מטלות. ייבאו שאלות כדי להתחיל.",
  chooseAssignment: "בחרו מטלה כדי להתחיל.",
  questions: "{count} שאלות",
  questionsOne: "שאלה אחת",
  questionNumber: "שאלה {number}",
  points: "{points} נק׳",
  answeredOf: "נענו {answered} מתוך {count}",
  submit: "שליחת תשובה",
  submitAgain: "שליחה מחדש",
  trueLabel: "נכון",
  falseLabel: "לא נכון",
  yourNumber: "המספר שלך",
  yourAnswer: "התשובה שלך",
  chooseOne: "בחרו",
  chooseAll: "בחרו את כל המתאימים",
  gradedByPerson: "מורה יקרא ויעריך את התשובה.",
  answerFirst: "יש לענות תחילה.",
  notANumber: "כתבו מספר, למשל 3.5.",
  textTooLong: "הטקסט ארוך מדי: עד 16 KB.",
  stateSaving: "שומר…",
  stateRecorded: "נרשם בשעה {time}",
  stateOffline: "נשמר במכשיר זה. יישלח כשתחזרו לרשת.",
  stateUnavailable: "נשמר במכשיר זה. השרת אינו זמין; מנסה שוב.",
  stateThrottled: "נשמר במכשיר זה. השרת עמוס; ננסה שוב בקרוב.",
  stateSignedOut: "נשמר במכשיר זה. היכנסו שוב כדי לשלוח.",
  stateRefused: "לא התקבל: {reason}",
  discard: "מחיקה",
  receipt: "אישור",
  answeredAt: "נענה {time}",
  offlineBanner: "אין חיבור לרשת. התשובות נשמרות במכשיר ויישלחו בהמשך.",
  waitingBanner: "{count} במכשיר זה, ממתינות לשליחה",
  yourResults: "התוצאות שלך",
  score: "ציון",
  scoreOf: "{score} מתוך {max}",
  right: "נכון",
  partly: "נכון חלקית ({percent})",
  wrong: "לא נכון",
  ungraded: "ממתין לבדיקה",
  classNow: "הכיתה עכשיו",
  answersGiven: "{count} תשובות",
  answersGivenOne: "תשובה אחת",
  meanScore: "ממוצע {percent}",
  students: "סטודנטים",
  answersLabel: "תשובות",
  received: "התקבלו",
  processed: "עובדו",
  pending: "ממתינות",
  alpha: "מהימנות (α)",
  alphaNote: "{count} הגשות מלאות",
  live: "בזמן אמת",
  connecting: "מתחבר…",
  reconnecting: "ממתין לחיבור",
  asOf: "עודכן {ago}",
  noFiguresYet: "אין עדיין תשובות. הנתונים יופיעו כאן מיד עם עיבוד הראשונה.",
  perQuestion: "שאלות",
  facility: "קלות",
  facilityHelp: "חלק ממוצע מהניקוד המלא",
  discrimination: "הבחנה",
  discriminationHelp: "האם השאלה מבחינה בין חזקים לחלשים? ‎−1 עד 1",
  answered: "ענו",
  correct: "נכון במלואו",
  question: "שאלה",
  distractors: "הבחירות",
  rightPairs: "הותאמו נכון",
  showTable: "הצגה כטבלה",
  none: "–",
  gradebook: "גיליון ציונים",
  learner: "לומד",
  attempts: "ניסיונות",
  showGradebook: "הצגת גיליון הציונים",
  refresh: "רענון",
  nextPage: "העמוד הבא",
  firstPage: "העמוד הראשון",
  page: "עמוד {number}",
  noRows: "אף אחד עוד לא ענה.",
  importTitle: "ייבוא שאלות",
  importName: "כותרת",
  importFormat: "פורמט",
  importSource: "מקור",
  importPlaceholder: "הדביקו GIFT, CSV או JSON",
  importButton: "ייבוא",
  importing: "מייבא…",
  imported: "יובאו {count} שאלות.",
  importedOne: "יובאה שאלה אחת.",
  importFailed: "דבר לא יובא.",
  skippedTitle: "הושמטו",
  place: "שורה {line}, עמודה {column}",
  openAssignment: "פתיחת המטלה",
  verify: "אימות היומן",
  verifying: "משחזר את כל התשובות…",
  verified: "שוחזרו {events} תשובות: זהה. תקציר {digest}",
  notVerified: "שוחזרו {events} תשובות: שונה. תקציר {digest}",
  liveRegion: "התקבלו {received}, עובדו {processed}, ממתינות {pending}",
  explain: "הסבירו לי את הטעות",
  explainMore: "הסבירו עוד",
  explainAgain: "הסבירו שוב",
  explaining: "המדריך כותב…",
  explainRung: "רמז {rung} מתוך 4.",
  cannedReply: "תשובה מוכנה מראש: לא מחובר מודל.",
  explainBusy: "יותר מדי בבת אחת, או שהתקציב נגמר. נסו שוב מאוחר יותר.",
  explainUnavailable: "המדריך אינו זמין כעת. נסו שוב.",
  explainFailed: "לא ניתן היה להסביר.",
  reviews: "הערכות מוצעות",
  reviewsNote: "המודל מציע; מה שקובע הוא ההחלטה שלכם.",
  showReviews: "הצגת הממתינות",
  noReviews: "אין הערכות שממתינות להחלטה.",
  accept: "אישור",
  accepted: "אושר",
  confidence: "ביטחון {percent}",
  agreement: "הוחלט על {count}: {share} אושרו כפי שהוצעו, קאפא משוקללת {kappa}",
  flagSuspicious: "פונה אל המודל",
  flagRedacted: "הוסרו פרטים אישיים",
  flagUnsupported: "ללא ראיות",
  flagMismatch: "נקודות מחוץ לטווח",
  flagWithheld: "גילה את התשובה",
  explainOff: "המדריך כבוי כאן.",
  tutor: "מדריך",
  tutorAllow: "לומדים רשאים לבקש רמזים והסברים",
  tutorOn: "פועל, בכל מקום בתוך חצי דקה.",
  tutorOff: "כבוי, כמו בבחינה, בכל מקום בתוך חצי דקה.",
  pilot: "ניסוי המחוון",
  pilotNote: "ראו מה המודל אומר על כמה תשובות שנרשמו, לפני שמסתמכים עליו. רק מורים רואים זאת.",
  pilotSize: "מספר תשובות לניסוי",
  pilotPreview: "הצגת העלות",
  pilotNoAnswers: "איש עדיין לא ענה על השאלה הזאת.",
  pilotSample: "{sample} מתוך {answers} תשובות רשומות ייבדקו.",
  pilotModel: "מודל {model}, מחירים נכון ל־{date}.",
  pilotEstimate: "עלות משוערת",
  pilotForAll: "לכל התשובות",
  pilotBudgetLeft: "נותר בתקציב",
  pilotAtMost: "לכל היותר {amount}",
  pilotRun: "להריץ עכשיו",
  pilotRunning: "המודל קורא…",
  pilotDone: "הסתיים.",
  pilotBudget: "התקציב נוצל; נותרו {left} תשובות.",
  pilotOutage: "המודל אינו עונה; נותרו {left} תשובות. נסו שוב מאוחר יותר.",
  pilotCost: "{count} הוערכו בעלות של {amount}.",
  pilotAgreement: "ב־{count} החליט גם מורה: {share} זהות, קאפה משוקללת {kappa}",
  pilotCriteria: "התפלגות הנקודות",
  pilotCriterion: "קריטריון",
  pilotPoints: "נקודות: תשובות",
  pilotAnswers: "תשובה אחר תשובה",
  pilotDecided: "מורה",
  pilotFeedback: "משוב",
  spend: "הוצאות בינה מלאכותית",
  showSpend: "הצגת ההוצאות",
  spent: "הוצא",
  reserved: "שמור",
  ceiling: "תקרה",
  noSpend: "עדיין לא הוצא דבר.",
};

export const LANGUAGES = { en: "English", he: "עברית" } as const;
export type Language = keyof typeof LANGUAGES;

const WORDS: Record<Language, Record<Word, string>> = { en: english, he: hebrew };
const REMEMBERED = "lectern-language";

let current: Language = "en";

/** The page's language: asked for in the address, chosen before, or the browser's. */
export function initialLanguage(): Language {
  const candidates = [
    new URLSearchParams(location.search).get("lang"),
    localStorage.getItem(REMEMBERED),
    ...navigator.languages.map((each) => each.slice(0, 2)),
  ];
  return candidates.find((each): each is Language => each !== null && each in LANGUAGES) ?? "en";
}

/** Speak *language* from now on, in its own direction. */
export function speak(language: Language, { remember = false } = {}): void {
  current = language;
  document.documentElement.lang = language;
  document.documentElement.dir = language === "he" ? "rtl" : "ltr";
  if (remember) localStorage.setItem(REMEMBERED, language);
}

export function language(): Language {
  return current;
}

/** The word in the page's language, with `{name}` places filled. */
export function t(word: Word, values: Record<string, string | number> = {}): string {
  return WORDS[current][word].replaceAll(/\{(\w+)\}/g, (place, name: string) => {
    const value = values[name];
    return value === undefined ? place : typeof value === "number" ? number(value) : value;
  });
}

/** *word* for *count* things; the one that is named `…One` where the language's rules ask for it. */
export function counted(word: "questions" | "answersGiven" | "imported", count: number): string {
  const one = new Intl.PluralRules(current).select(count) === "one";
  return one ? t(`${word}One`) : t(word, { count });
}

export function number(value: number, digits = 0): string {
  return new Intl.NumberFormat(current, { maximumFractionDigits: digits }).format(value);
}

export function percent(share: number): string {
  return new Intl.NumberFormat(current, { style: "percent", maximumFractionDigits: 0 }).format(share);
}

/** *nanos* nano-dollars as dollars; small sums keep their digits. */
export function dollars(nanos: number): string {
  const amount = nanos / 1e9;
  const digits = amount !== 0 && Math.abs(amount) < 1 ? 4 : 2;
  return new Intl.NumberFormat(current, {
    style: "currency",
    currency: "USD",
    minimumFractionDigits: 2,
    maximumFractionDigits: digits,
  }).format(amount);
}

export function signed(value: number): string {
  const digits = { minimumFractionDigits: 2, maximumFractionDigits: 2 };
  return new Intl.NumberFormat(current, digits).format(value);
}

export function timeOfDay(time: Date | number): string {
  return new Intl.DateTimeFormat(current, { timeStyle: "medium" }).format(time);
}

/** "2 seconds ago", at most a day back; the date itself beyond. */
export function ago(time: Date, now: number): string {
  const seconds = Math.max(0, Math.round((now - time.getTime()) / 1_000));
  const relative = new Intl.RelativeTimeFormat(current, { numeric: "auto" });
  if (seconds < 60) return relative.format(-seconds, "second");
  if (seconds < 3_600) return relative.format(-Math.round(seconds / 60), "minute");
  if (seconds < 86_400) return relative.format(-Math.round(seconds / 3_600), "hour");
  return new Intl.DateTimeFormat(current, { dateStyle: "medium", timeStyle: "short" }).format(time);
}
