-- Who may change the environments of a name, over all models.
CREATE TABLE restriction (
    environment TEXT PRIMARY KEY,
    document TEXT NOT NULL
);

-- The environments whose addresses a key may call; NULL for all and everything else.
ALTER TABLE api_key ADD COLUMN environments TEXT;
