// In: a SQLite file (made and seeded when it is new). Out: jobs, candidates and scores as plain records.
// A real tool in small: what is written is there after a restart. It trusts its callers; Cordon stands before it.
import { DatabaseSync } from "node:sqlite";

export interface Candidate {
  readonly candidate_id: string;
  readonly job_id: string;
  readonly name: string;
  readonly skills: readonly string[];
  readonly notes: string;
  readonly classification: string;
  /** Yearly, in euros. In the record on purpose: a policy may redact `/salary`. */
  readonly salary: number;
}

export interface Score {
  readonly score_id: number;
  readonly candidate_id: string;
  readonly score: number;
  readonly comment: string;
  readonly created_at: string;
}

export interface CandidateStore {
  jobStatus(jobId: string): string | undefined;
  candidates(jobId: string): Candidate[];
  candidate(jobId: string, candidateId: string): Candidate | undefined;
  addScore(jobId: string, candidateId: string, score: number, comment: string): Score;
  scores(jobId: string, candidateId: string): Score[];
  close(): void;
}

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS jobs (job_id TEXT PRIMARY KEY, title TEXT NOT NULL, status TEXT NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS candidates (
    job_id TEXT NOT NULL REFERENCES jobs, candidate_id TEXT NOT NULL, name TEXT NOT NULL, skills TEXT NOT NULL,
    notes TEXT NOT NULL, classification TEXT NOT NULL, salary INTEGER NOT NULL, PRIMARY KEY (job_id, candidate_id)) STRICT;
  CREATE TABLE IF NOT EXISTS scores (
    score_id INTEGER PRIMARY KEY, job_id TEXT NOT NULL, candidate_id TEXT NOT NULL, score REAL NOT NULL,
    comment TEXT NOT NULL, created_at TEXT NOT NULL,
    FOREIGN KEY (job_id, candidate_id) REFERENCES candidates (job_id, candidate_id)) STRICT;
`;

const JOBS = [
  ["J42", "Platform engineer", "open"],
  ["J43", "Data analyst", "open"],
] as const;

const CANDIDATES = [
  ["J42", "C1", "Ada Byron", ["typescript", "sqlite", "security"], "Strong systems background.", 84_000],
  ["J42", "C2", "Grace Murray", ["go", "compilers"], "Led a compiler team of six.", 97_000],
  ["J42", "C3", "Alan Mathison", ["cryptography", "python"], "Prefers remote work.", 91_000],
  ["J43", "C9", "Mary Fairfax", ["statistics", "r"], "Published on time series.", 76_000],
] as const;

interface CandidateRow extends Omit<Candidate, "skills"> {
  readonly skills: string;
}

export function createCandidateStore(file: string): CandidateStore {
  const database = new DatabaseSync(file, { enableForeignKeyConstraints: true, timeout: 2000 });
  database.exec(SCHEMA);
  seed(database);

  const selectJob = database.prepare("SELECT status FROM jobs WHERE job_id = ?");
  const selectAll = database.prepare("SELECT * FROM candidates WHERE job_id = ? ORDER BY candidate_id");
  const selectOne = database.prepare("SELECT * FROM candidates WHERE job_id = ? AND candidate_id = ?");
  const insertScore = database.prepare(
    "INSERT INTO scores (job_id, candidate_id, score, comment, created_at) VALUES (?, ?, ?, ?, ?)" +
      " RETURNING score_id, candidate_id, score, comment, created_at",
  );
  const selectScores = database.prepare(
    "SELECT score_id, candidate_id, score, comment, created_at FROM scores" +
      " WHERE job_id = ? AND candidate_id = ? ORDER BY score_id",
  );
  const toCandidate = (row: CandidateRow): Candidate => ({ ...row, skills: JSON.parse(row.skills) as string[] });

  return {
    jobStatus: (jobId) => (selectJob.get(jobId) as { status: string } | undefined)?.status,
    candidates: (jobId) => (selectAll.all(jobId) as unknown as CandidateRow[]).map(toCandidate),
    candidate(jobId, candidateId) {
      const row = selectOne.get(jobId, candidateId) as unknown as CandidateRow | undefined;
      return row === undefined ? undefined : toCandidate(row);
    },
    addScore: (jobId, candidateId, score, comment) =>
      insertScore.get(jobId, candidateId, score, comment, new Date().toISOString()) as unknown as Score,
    scores: (jobId, candidateId) => selectScores.all(jobId, candidateId) as unknown as Score[],
    close: () => database.close(),
  };
}

function seed(database: DatabaseSync): void {
  const addJob = database.prepare("INSERT OR IGNORE INTO jobs VALUES (?, ?, ?)");
  const addCandidate = database.prepare(
    "INSERT OR IGNORE INTO candidates (job_id, candidate_id, name, skills, notes, classification, salary)" +
      " VALUES (?, ?, ?, ?, ?, 'interview_safe', ?)",
  );
  database.exec("BEGIN");
  for (const job of JOBS) addJob.run(...job);
  for (const [job, id, name, skills, notes, salary] of CANDIDATES) {
    addCandidate.run(job, id, name, JSON.stringify(skills), notes, salary);
  }
  database.exec("COMMIT");
}
