-- Minutes are counted for each replica as they begin, and not of the time of all together; a row says up to when.
ALTER TABLE usage_day ADD COLUMN minutes BIGINT NOT NULL DEFAULT 0;
ALTER TABLE usage_day ADD COLUMN counted_to BIGINT NOT NULL DEFAULT 0;
UPDATE usage_day SET minutes = (replica_millis + 59999) / 60000, counted_to = (day + 1) * 86400000;
ALTER TABLE usage_day DROP COLUMN replica_millis;
