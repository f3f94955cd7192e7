-- What the shop keeps.

CREATE TABLE IF NOT EXISTS users (id TEXT PRIMARY KEY, name TEXT UNIQUE COLLATE NOCASE, password TEXT,
    authy_id TEXT UNIQUE, backup_codes INTEGER DEFAULT 0);
CREATE TABLE IF NOT EXISTS logins (id TEXT PRIMARY KEY, user_id TEXT, how TEXT);
CREATE TABLE IF NOT EXISTS keys (kid TEXT, authy_id TEXT, key BLOB, PRIMARY KEY (kid, authy_id));
CREATE TABLE IF NOT EXISTS enrollments (user_id TEXT PRIMARY KEY, id TEXT, method INTEGER, link TEXT,
    image BLOB);
CREATE TABLE IF NOT EXISTS kept (id TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS proofs (id TEXT PRIMARY KEY, user_id TEXT, purpose TEXT, message TEXT, detail TEXT,
    begun REAL, approval_id TEXT UNIQUE, asked BLOB, facts TEXT, used INTEGER DEFAULT 0);
CREATE TABLE IF NOT EXISTS events (number INTEGER PRIMARY KEY, id TEXT UNIQUE, authy_id TEXT, type TEXT,
    time REAL);
CREATE TABLE IF NOT EXISTS attempts (who TEXT, time REAL);
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT);
