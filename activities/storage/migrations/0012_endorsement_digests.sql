-- Endorsements by digest: a value of a thousand CJK characters is too long for an index entry.

ALTER TABLE endorsements DISABLE TRIGGER endorsements_append_only;
ALTER TABLE endorsements ADD COLUMN digest bytea;       -- SHA-256 of `value`, filled in by a trigger
UPDATE endorsements SET digest = sha256(convert_to(value, 'UTF8'));
ALTER TABLE endorsements ENABLE TRIGGER endorsements_append_only;
ALTER TABLE endorsements ALTER COLUMN digest SET NOT NULL;
ALTER TABLE endorsements DROP CONSTRAINT endorsements_pkey;
ALTER TABLE endorsements ADD PRIMARY KEY (run_id, digest);

CREATE FUNCTION fill_endorsement_digest() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.digest := sha256(convert_to(NEW.value, 'UTF8'));
    RETURN NEW;
END
$$;
CREATE TRIGGER endorsements_digest BEFORE INSERT ON endorsements
    FOR EACH ROW EXECUTE FUNCTION fill_endorsement_digest();
