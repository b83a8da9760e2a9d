-- The personal key that something was done with: `actor` says whose it is. Keys of the workspace are `actor` themselves.
ALTER TABLE event ADD COLUMN personal_key TEXT;

-- A quote inside a text is escaped in JSON, so these match the fields alone.
UPDATE event SET personal_key =
    (SELECT MAX(k.prefix) FROM api_key k
      WHERE k.person IS NOT NULL AND event.document LIKE '%"key_prefix":"' || k.prefix || '"%')
WHERE document LIKE '%"key_prefix":"%' AND document LIKE '%"person":"%';
