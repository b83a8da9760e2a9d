-- People who sign in with a password, and the links that make them.
CREATE TABLE person (
    id TEXT PRIMARY KEY,
    email TEXT NOT NULL,
    document TEXT NOT NULL,
    password TEXT NOT NULL,
    removed_at BIGINT
);
CREATE UNIQUE INDEX person_email ON person (email) WHERE removed_at IS NULL;

CREATE TABLE link (
    hash TEXT PRIMARY KEY,
    invitation TEXT,
    document TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX link_invitation ON link (invitation) WHERE invitation IS NOT NULL;

-- Whose a personal key is; its role is that person's.
ALTER TABLE api_key ADD COLUMN person TEXT;

-- Sessions are a key's or a person's. Whoever was signed in signs in again.
DROP TABLE session;
DROP TABLE sign_in_link;
CREATE TABLE session (
    hash TEXT PRIMARY KEY,
    key_prefix TEXT,
    person TEXT,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX session_person ON session (person) WHERE person IS NOT NULL;
