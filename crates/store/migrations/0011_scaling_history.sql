-- How many replicas each deployment had, a row for each change; and how long each replica took to its first answer.
CREATE TABLE replica_count (
    deployment TEXT NOT NULL,
    at BIGINT NOT NULL,
    wanted BIGINT NOT NULL,
    starting BIGINT NOT NULL,
    ready BIGINT NOT NULL,
    PRIMARY KEY (deployment, at)
);

CREATE TABLE cold_start (
    replica TEXT PRIMARY KEY,
    deployment TEXT NOT NULL,
    at BIGINT NOT NULL,
    document TEXT NOT NULL
);
CREATE INDEX cold_start_of_deployment ON cold_start (deployment, at);

CREATE INDEX event_deployment ON event (deployment, kind, at);
