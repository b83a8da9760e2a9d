-- What a day's replicas ran on, and what a minute of one cost then, in billionths.
ALTER TABLE usage_day ADD COLUMN instance_type TEXT;
ALTER TABLE usage_day ADD COLUMN price BIGINT;
