-- What the activity is filtered by: its group (none for what other pages show), the door, who, and words in lower case.
ALTER TABLE event ADD COLUMN activity TEXT;
ALTER TABLE event ADD COLUMN source TEXT NOT NULL DEFAULT 'SYSTEM';
ALTER TABLE event ADD COLUMN actor TEXT NOT NULL DEFAULT 'Slipway';
ALTER TABLE event ADD COLUMN searched TEXT NOT NULL DEFAULT '';

UPDATE event SET
    activity = CASE
        WHEN kind IN ('MODEL_CREATED', 'MODEL_DEPLOYED', 'MODEL_DEPLOYMENT_ACTIVE', 'MODEL_DEPLOYMENT_FAILED',
                      'MODEL_DEPLOYMENT_RETRIED') THEN 'DEPLOYED'
        WHEN kind IN ('MODEL_DEPLOYMENT_PROMOTED', 'MODEL_PROMOTION_CONTROL_ACTION', 'MODEL_PROMOTION_SUCCEEDED',
                      'MODEL_PROMOTION_FAILED', 'MODEL_PROMOTION_CANCELED') THEN 'PROMOTED'
        WHEN kind IN ('MODEL_DEPLOYMENT_ACTIVATED', 'MODEL_DEPLOYMENT_DEACTIVATED') THEN 'ACTIVATED_DEACTIVATED'
        WHEN kind = 'MODEL_DEPLOYMENT_AUTOSCALING_SETTINGS_CHANGED' THEN 'AUTOSCALING_SETTINGS'
        WHEN kind IN ('ENVIRONMENT_CREATED', 'ENVIRONMENT_UPDATED', 'ENVIRONMENT_DELETED') THEN 'ENVIRONMENT_SETTINGS'
        WHEN kind IN ('REPLICA_CRASHED', 'REPLICA_TERMINATED') THEN 'REPLICA_TERMINATED'
        WHEN kind IN ('MODEL_DELETED', 'MODEL_DEPLOYMENT_DELETED') THEN 'DELETED'
        WHEN kind IN ('MODEL_RENAMED', 'MODEL_DEPLOYMENT_RENAMED') THEN 'METADATA'
        WHEN kind IN ('MODEL_DEPLOYMENT_PATCHED', 'MODEL_DEPLOYMENT_PATCH_FAILED') THEN 'CODE'
        WHEN kind IN ('SECRET_UPDATED', 'SECRET_DELETED') THEN 'SECRETS'
        WHEN kind IN ('API_KEY_CREATED', 'API_KEY_DELETED') THEN 'API_KEYS'
    END,
    -- A quote inside a text is escaped in JSON, so these match the fields alone.
    source = CASE
        WHEN document LIKE '%"door":"UI"%' THEN 'UI'
        WHEN document LIKE '%"door":"API"%' THEN 'API'
        ELSE 'SYSTEM'
    END,
    actor = COALESCE(
        (SELECT MAX(k.prefix) FROM api_key k WHERE event.document LIKE '%"key_prefix":"' || k.prefix || '"%'),
        'Slipway'),
    searched = LOWER(document);

CREATE INDEX event_activity ON event (at, id) WHERE activity IS NOT NULL;
CREATE INDEX event_activity_of_model ON event (model, at, id) WHERE activity IS NOT NULL;
