CREATE TABLE jobs (
  id TEXT PRIMARY KEY, status TEXT NOT NULL, final INTEGER NOT NULL, workflow TEXT NOT NULL,
  caller TEXT NOT NULL, created_ms INTEGER NOT NULL, finished_ms INTEGER, job TEXT NOT NULL, work TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX jobs_final ON jobs (final, finished_ms);
CREATE TABLE job_files (sha256 TEXT NOT NULL, job TEXT NOT NULL, PRIMARY KEY (sha256, job)) WITHOUT ROWID;
CREATE INDEX job_files_job ON job_files (job);
CREATE TABLE idempotency (
  key TEXT PRIMARY KEY, body TEXT NOT NULL, job TEXT NOT NULL, created_ms INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO jobs VALUES ('job_00', 'succeeded', 1, 'w', '', 1, 2, '{"id":"job_00","status":"succeeded","created_at":"2026-11-24T00:00:00Z","finished_at":"2026-11-24T00:00:01Z"}', '{"graph":{},"names":{},"prompt_id":"x","log":["line"]}');
INSERT INTO jobs VALUES ('job_01', 'running', 0, 'w', '', 1, NULL, '{"id":"job_01","status":"running","attempts":1,"created_at":"2026-11-24T00:00:00Z"}', '{"graph":{},"names":{},"prompt_id":"x","last_event":3}');
