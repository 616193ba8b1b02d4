-- What the demo's routes and the examples read and write. May be run again: it changes nothing that is there.
CREATE TABLE IF NOT EXISTS item (id bigint PRIMARY KEY, name text NOT NULL);
INSERT INTO item SELECT i, 'item-' || i FROM generate_series(1, 1000) AS i ON CONFLICT DO NOTHING;

CREATE TABLE IF NOT EXISTS account (id bigint PRIMARY KEY, balance bigint NOT NULL CHECK (balance >= 0));
INSERT INTO account SELECT i, 1000 FROM generate_series(1, 100) AS i ON CONFLICT DO NOTHING;

CREATE TABLE IF NOT EXISTS world (id integer PRIMARY KEY, randomnumber integer NOT NULL);
INSERT INTO world SELECT i, (i * 7919) % 10000 + 1 FROM generate_series(1, 10000) AS i ON CONFLICT DO NOTHING;
