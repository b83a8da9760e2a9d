-- What was measured of each deployment's requests, a row for each minute in which there were any.
CREATE TABLE metric (
    deployment TEXT NOT NULL,
    at BIGINT NOT NULL,
    model TEXT NOT NULL,
    environment TEXT,
    document TEXT NOT NULL,
    PRIMARY KEY (deployment, at)
);
CREATE INDEX metric_of_environment ON metric (model, environment, at);
CREATE INDEX metric_age ON metric (at);
