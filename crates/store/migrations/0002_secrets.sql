-- Values that models read; sealed, so that the database alone gives nothing away.
CREATE TABLE secret (
    name TEXT PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    sealed TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
