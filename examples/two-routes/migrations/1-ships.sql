create table ship (
  berth integer primary key check (berth > 0),
  name text not null unique,
  tons integer not null check (tons > 0)
);

insert into ship (berth, name, tons) values
  (1, 'Albatross', 4200),
  (2, 'Bergamot', 860),
  (3, 'Cormorant', 12500),
  (4, 'Dovetail', 310),
  (5, 'Eider', 7700),
  (6, 'Fulmar', 2050),
  (7, 'Gannet', 19300),
  (8, 'Heron', 640),
  (9, 'Ibis', 5480),
  (10, 'Jackdaw', 95);
