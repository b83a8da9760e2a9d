-- Both databases read this file: text ids, milliseconds and flags as BIGINT, JSON documents as TEXT.

CREATE TABLE model (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    document TEXT NOT NULL,
    generation BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    deleted_at BIGINT,
    version BIGINT NOT NULL
);
CREATE UNIQUE INDEX model_name ON model (name) WHERE deleted_at IS NULL;

CREATE TABLE deployment (
    id TEXT PRIMARY KEY,
    model TEXT NOT NULL REFERENCES model (id),
    name TEXT NOT NULL,
    development BIGINT NOT NULL,
    document TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    deleted_at BIGINT,
    purged BIGINT NOT NULL,
    version BIGINT NOT NULL
);
CREATE UNIQUE INDEX deployment_name ON deployment (model, name) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX deployment_development ON deployment (model) WHERE deleted_at IS NULL AND development = 1;
CREATE INDEX deployment_live ON deployment (model, created_at) WHERE purged = 0;

CREATE TABLE environment (
    model TEXT NOT NULL REFERENCES model (id),
    name TEXT NOT NULL,
    document TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (model, name)
);

CREATE TABLE promotion (
    id TEXT PRIMARY KEY,
    model TEXT NOT NULL REFERENCES model (id),
    environment TEXT NOT NULL,
    running BIGINT NOT NULL,
    document TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    version BIGINT NOT NULL
);
CREATE UNIQUE INDEX promotion_running ON promotion (model, environment) WHERE running = 1;
CREATE INDEX promotion_history ON promotion (model, environment, started_at);

CREATE TABLE event (
    id TEXT PRIMARY KEY,
    at BIGINT NOT NULL,
    kind TEXT NOT NULL,
    model TEXT,
    deployment TEXT,
    environment TEXT,
    document TEXT NOT NULL
);
CREATE INDEX event_at ON event (at, id);
CREATE INDEX event_model ON event (model, at, id);

CREATE TABLE api_key (
    prefix TEXT PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    models TEXT,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT,
    revoked_at BIGINT
);

CREATE TABLE session (
    hash TEXT PRIMARY KEY,
    key_prefix TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE TABLE sign_in_link (
    hash TEXT PRIMARY KEY,
    key_prefix TEXT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE TABLE usage_day (
    deployment TEXT NOT NULL,
    day BIGINT NOT NULL,
    model TEXT NOT NULL,
    model_name TEXT NOT NULL,
    deployment_name TEXT NOT NULL,
    environment TEXT,
    replica_millis BIGINT NOT NULL,
    requests BIGINT NOT NULL,
    PRIMARY KEY (deployment, day)
);
CREATE INDEX usage_by_day ON usage_day (day);

CREATE TABLE upload (
    key TEXT PRIMARY KEY,
    access_key TEXT NOT NULL UNIQUE,
    secret TEXT NOT NULL,
    session_token TEXT NOT NULL,
    created_by TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    used BIGINT NOT NULL
);

CREATE TABLE setting (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
